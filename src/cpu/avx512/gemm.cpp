// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/fp32_inputs.h"
#include "cpu/avx512/int16_by_int8.h"
#include "cpu/avx512/lanes.h"
#include "cpu/avx512/pack_rows.h"
#include "cpu/avx512/widened_bf16.h"

#include "cpu/bf16_by_fp32.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

struct Fp32 : Fp32Inputs {
  static Weights load_weights(const char* w) { return _mm512_loadu_ps(w); }
};

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

}  // namespace

// 6 x 4 accumulators, 4 weights and 1 input fill 29 of 32 registers.
constexpr GemmMicro kGemmAvx512Fp32 = make_gemm_micro<Fp32, 6, 4>();
constexpr GemmMicro kGemmAvx512Fp32ByBf16 = make_gemm_micro<Fp32ByBf16, 6, 4>();
constexpr GemmMicro kGemmAvx512Int16ByInt8 = make_gemm_micro<Int16ByInt8, 6, 4>();
// 6 x 3 accumulators, 3 pairs of weights and 1 of inputs fill 26.
constexpr GemmMicro kGemmAvx512Bf16 = make_gemm_micro<WidenedBf16, 6, 3>();
// 6 x 4 accumulators, 4 widened weights, 1 input and a mask fill 30.
constexpr GemmMicro kGemmAvx512WidenedBf16 =
    widening(make_gemm_micro<Bf16Ahead, 6, 4>(pack_widened_rows), widen_bf16_row);

}  // namespace veloz::cpu
