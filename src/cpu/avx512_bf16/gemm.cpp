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

/// Pairs of int16 by pairs of int8; every processor with bf16 dot products has those of integers.
struct DotInt16ByInt8 {
  using F = __m512i;
  using Weights = __m512i;
  using Inputs = __m512i;
  static F zero() { return _mm512_setzero_si512(); }
  static F load(const float* from) { return _mm512_loadu_si512(from); }
  static void store(float* to, F sums) { _mm512_storeu_si512(to, sums); }
  static Weights load_weights(const char* w) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
  }
  static Inputs load_inputs(const char* x) { return broadcast(x); }
  static Inputs load_half_inputs(const char* x) { return broadcast_half(x); }
  static F multiply_add(F sums, Inputs inputs, Weights weights) {
    return _mm512_dpwssd_epi32(sums, inputs, weights);
  }
};

}  // namespace

// 6 x 4 accumulators, 4 weights and 1 input fill 29 of 32 registers.
constexpr GemmMicro kGemmAvx512DotBf16 = make_gemm_micro<DotBf16, 6, 4>();
constexpr GemmMicro kGemmAvx512DotInt16ByInt8 = make_sums_micro<DotInt16ByInt8, 6, 4>();

}  // namespace veloz::cpu
