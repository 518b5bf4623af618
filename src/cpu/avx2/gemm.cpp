// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/fp32_inputs.h"
#include "cpu/avx2/int16_pairs.h"
#include "cpu/avx2/lanes.h"

#include "cpu/bf16_by_fp32.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Attention's weights with V in bf16.
struct Fp32ByBf16 : Fp32Inputs {
  static Weights load_weights(const char* w) { return load_bf16(w); }
};

/// Pairs of int16 by pairs of int8.
struct Int16ByInt8 : Int16Pairs {
  static Weights load_weights(const char* w) {
    const auto* const codes = reinterpret_cast<const __m128i*>(w);
    return {_mm256_cvtepi8_epi16(_mm_loadu_si128(codes)),
            _mm256_cvtepi8_epi16(_mm_loadu_si128(codes + 1))};
  }
};

}  // namespace

// 6 x 1 panel of two registers, 2 weights and 1 input fill 15 of 16 registers.
constexpr GemmMicro kGemmAvx2Fp32 = make_gemm_micro<Fp32, 6, 1>();
constexpr GemmMicro kGemmAvx2Fp32ByBf16 = make_gemm_micro<Fp32ByBf16, 6, 1>();
constexpr GemmMicro kGemmAvx2Int16ByInt8 = make_gemm_micro<Int16ByInt8, 6, 1>();
// 5 x 1, 2 widened weights, 1 input and a mask fill 14: of a sixth row GCC keeps sums in memory.
constexpr GemmMicro kGemmAvx2Bf16 = widening(make_gemm_micro<Bf16ByFp32, 5, 1>(), widen_bf16_row);

}  // namespace veloz::cpu
