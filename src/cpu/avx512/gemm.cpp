// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/broadcast.h"
#include "cpu/avx512/int16_by_int8.h"
#include "cpu/avx512/lanes.h"
#include "cpu/avx512/widened_bf16.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// One fp32 of x a step.
struct Fp32Inputs : Fp32Sums {
  using Weights = __m512;
  using Inputs = __m512;
  static Inputs load_inputs(const char* x) { return _mm512_castsi512_ps(broadcast(x)); }
  static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // never called
  static F multiply_add(F sums, Inputs inputs, Weights weights) {
    return _mm512_fmadd_ps(inputs, weights, sums);
  }
};

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

}  // namespace

// 6 x 4 accumulators, 4 weights and 1 input fill 29 of 32 registers.
constexpr GemmMicro kGemmAvx512Fp32 = make_gemm_micro<Fp32, 6, 4>();
constexpr GemmMicro kGemmAvx512Fp32ByBf16 = make_gemm_micro<Fp32ByBf16, 6, 4>();
constexpr GemmMicro kGemmAvx512Int16ByInt8 = make_gemm_micro<Int16ByInt8, 6, 4>();
// 6 x 3 accumulators, 3 pairs of weights and 1 of inputs fill 26.
constexpr GemmMicro kGemmAvx512Bf16 = make_gemm_micro<WidenedBf16, 6, 3>();

}  // namespace veloz::cpu
