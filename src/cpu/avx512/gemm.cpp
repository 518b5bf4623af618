// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/fp32_inputs.h"
#include "cpu/avx512/int16_by_int8.h"
#include "cpu/avx512/lanes.h"
#include "cpu/avx512/pack_rows.h"

#include "cpu/bf16_by_fp32.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Attention's weights with V in bf16.
struct Fp32ByBf16 : Fp32Inputs {
  static Weights load_weights(const char* w) { return load_bf16(w); }
};

/// Pairs of int16 by pairs of int8.
struct Int16ByInt8 : Int16AndInt8 {
  static I multiply_add(I sums, Inputs inputs, Weights weights) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(inputs, weights));
  }
};

/// What Intel's processors multiply: they read a few rows' weights a fifth faster when asked ahead.
struct Bf16Ahead : Bf16ByFp32 {
  static constexpr bool kRunsAhead = true;
};

// Panels of fp32 spare each tile 8 of 56 operations, and must pass through the second-level cache.
constexpr int64_t kMinBf16Tiles = 11;
constexpr GemmExpansion kBf16Expansion = {expand_bf16, &kGemmAvx512Fp32, kMinBf16Tiles};

}  // namespace

// 6 x 4 accumulators, 4 weights and 1 input fill 29 of 32 registers.
constexpr GemmMicro kGemmAvx512Fp32 = make_gemm_micro<Fp32, 6, 4>();
constexpr GemmMicro kGemmAvx512Fp32ByBf16 = make_gemm_micro<Fp32ByBf16, 6, 4>();
constexpr GemmMicro kGemmAvx512Int16ByInt8 = make_gemm_micro<Int16ByInt8, 6, 4>();
// 6 x 4 accumulators, 4 widened weights, 1 input and a mask fill 30.
constexpr GemmMicro kGemmAvx512Bf16 =
    expanding(widening(make_gemm_micro<Bf16Ahead, 6, 4>(pack_widened_rows<Bf16Ahead::kInputBytes>),
                       widen_bf16_row),
              kBf16Expansion);

}  // namespace veloz::cpu
