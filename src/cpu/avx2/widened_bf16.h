// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx2/broadcast.h"
#include "cpu/avx2/lanes.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Pairs of bf16, widened to two fp32 and multiplied as such.
struct WidenedBf16 : Fp32Sums {
  using Weights = I;
  struct Inputs {
    __m256 even;
    __m256 odd;
  };
  static __m256 even(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
  static __m256 odd(__m256i pairs) {
    return _mm256_castsi256_ps(
        _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u))));
  }
  static Weights load_weights(const char* w) { return load_int(w); }
  static Inputs load_inputs(const char* x) { return {even(broadcast(x)), odd(broadcast(x))}; }
  static Inputs load_part_inputs(const char* x, int64_t bytes) {
    return {even(broadcast_part(x, bytes)), odd(broadcast_part(x, bytes))};
  }
  static F multiply_add(const F& sums, const Inputs& x, const Weights& w) {
    const F odds{_mm256_fmadd_ps(x.odd, odd(w.low), sums.low),
                 _mm256_fmadd_ps(x.odd, odd(w.high), sums.high)};
    return {_mm256_fmadd_ps(x.even, even(w.low), odds.low),
            _mm256_fmadd_ps(x.even, even(w.high), odds.high)};
  }
};

}  // namespace
}  // namespace veloz::cpu
