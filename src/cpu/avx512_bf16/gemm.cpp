// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/broadcast.h"
#include "cpu/avx512/lanes.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

struct DotBf16 : Lanes {
  using Weights = __m512bh;
  using Inputs = __m512bh;
  static __m512bh as_bf16(__m512i pairs) { return reinterpret_cast<__m512bh>(pairs); }
  static Weights load_weights(const char* w) { return as_bf16(_mm512_loadu_si512(w)); }
  static Inputs load_inputs(const char* x) { return as_bf16(broadcast(x)); }
  static Inputs load_half_inputs(const char* x) { return as_bf16(broadcast_half(x)); }
  static F multiply_add(F sums, Inputs inputs, Weights weights) {
    return _mm512_dpbf16_ps(sums, inputs, weights);
  }
};

}  // namespace

// 6 x 4 accumulators, 4 weights and 1 input fill 29 of 32 registers.
constexpr GemmMicro kGemmAvx512DotBf16 = make_gemm_micro<DotBf16, 6, 4>();

}  // namespace veloz::cpu
