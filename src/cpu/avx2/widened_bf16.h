// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx2/broadcast.h"
#include "cpu/avx2/lanes.h"
#include "cpu/gemm_loop.h"
#include "cpu/widen_loop.h"

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
  static Weights weights_of(const I& pairs) { return pairs; }
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

/// The same of rows that are widened already, the odd element of a pair first: a step in two parts,
/// between which no widened weights wait.
struct Bf16ByFp32 : Fp32Sums {
  static constexpr int64_t kInputBytes = 2 * sizeof(float);
  template <int64_t kOffset>
  struct Part {
    using Weights = F;
    using Inputs = __m256;
    static Inputs load_inputs(const char* x) { return _mm256_castsi256_ps(broadcast(x + kOffset)); }
    static Inputs load_part_inputs(const char* x, int64_t) {
      return load_inputs(x);
    }  // never called
    static F multiply_add(const F& sums, Inputs x, const Weights& w) {
      return {_mm256_fmadd_ps(x, w.low, sums.low), _mm256_fmadd_ps(x, w.high, sums.high)};
    }
  };
  struct FirstPart : Part<0> {
    static F load_weights(const char* w) {
      const I pairs = load_int(w);
      return {WidenedBf16::odd(pairs.low), WidenedBf16::odd(pairs.high)};
    }
  };
  struct SecondPart : Part<sizeof(float)> {
    static F load_weights(const char* w) {
      const I pairs = load_int(w);
      return {WidenedBf16::even(pairs.low), WidenedBf16::even(pairs.high)};
    }
  };
};

/// 16 bf16 in order become as many fp32, of each pair the odd one first.
[[maybe_unused]] void widen_bf16_register(const char* bf16, char* to) {
  const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bf16));
  const __m256 odd = WidenedBf16::odd(pairs), even = WidenedBf16::even(pairs);
  // Unpacking works within 128-bit halves: bring the quarters in order.
  const __m256 low = _mm256_unpacklo_ps(odd, even), high = _mm256_unpackhi_ps(odd, even);
  Lanes::store(reinterpret_cast<float*>(to),
               {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)});
}

[[maybe_unused]] void widen_bf16_row(const void* x, int64_t count, void* to) {
  widen_row<sizeof(__m256i)>(x, 2 * count, to, widen_bf16_register);
}

}  // namespace
}  // namespace veloz::cpu
