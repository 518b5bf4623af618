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

/// The same of rows that are widened already, the odd element of a pair first. Tiles take a step in
/// two parts, between which no widened weights wait.
struct Bf16ByFp32 : Fp32Sums {
  static constexpr int64_t kInputBytes = 2 * sizeof(float);
  using Weights = I;
  struct Inputs {
    __m256 odd;
    __m256 even;
  };
  static Weights weights_of(const I& pairs) { return pairs; }
  static Inputs load_inputs(const char* x) {
    return {FirstPart::load_inputs(x), SecondPart::load_inputs(x)};
  }
  static F multiply_add(const F& sums, const Inputs& x, const Weights& w) {
    return SecondPart::multiply_add(FirstPart::multiply_add(sums, x.odd, FirstPart::weights_of(w)),
                                    x.even, SecondPart::weights_of(w));
  }

  template <__m256 (*widen)(__m256i pairs), int64_t kOffset>
  struct Part {
    using Weights = F;
    using Inputs = __m256;
    static F weights_of(const I& pairs) { return {widen(pairs.low), widen(pairs.high)}; }
    static F load_weights(const char* w) { return weights_of(load_int(w)); }
    static Inputs load_inputs(const char* x) { return _mm256_castsi256_ps(broadcast(x + kOffset)); }
    static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // not called
    static F multiply_add(const F& sums, Inputs x, const Weights& w) {
      return {_mm256_fmadd_ps(x, w.low, sums.low), _mm256_fmadd_ps(x, w.high, sums.high)};
    }
  };
  using FirstPart = Part<WidenedBf16::odd, 0>;
  using SecondPart = Part<WidenedBf16::even, sizeof(float)>;
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
