// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/lanes.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

__m256i broadcast(const char* x) {
  int32_t value;
  __builtin_memcpy(&value, x, sizeof(value));
  return _mm256_set1_epi32(value);
}

__m256i broadcast_half(const char* x) {
  uint16_t value;
  __builtin_memcpy(&value, x, sizeof(value));
  return _mm256_set1_epi32(value);
}

/// One fp32 of x a step.
struct Fp32Inputs : Lanes {
  using Weights = F;
  using Inputs = __m256;
  static Inputs load_inputs(const char* x) { return _mm256_castsi256_ps(broadcast(x)); }
  static Inputs load_half_inputs(const char* x) { return load_inputs(x); }  // fp32 has no halves
  static F multiply_add(const F& sums, Inputs inputs, const Weights& weights) {
    return {_mm256_fmadd_ps(inputs, weights.low, sums.low),
            _mm256_fmadd_ps(inputs, weights.high, sums.high)};
  }
};

struct Fp32 : Fp32Inputs {
  static Weights load_weights(const char* w) { return load(reinterpret_cast<const float*>(w)); }
};

/// Attention's weights with V in bf16.
struct Fp32ByBf16 : Fp32Inputs {
  static Weights load_weights(const char* w) { return load_bf16(w); }
};

struct WidenedBf16 : Lanes {
  struct Weights {
    __m256i low;
    __m256i high;
  };
  struct Inputs {
    __m256 even;
    __m256 odd;
  };
  static __m256 even(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
  static __m256 odd(__m256i pairs) {
    return _mm256_castsi256_ps(
        _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u))));
  }
  static Weights load_weights(const char* w) {
    const auto* const lanes = reinterpret_cast<const __m256i*>(w);
    return {_mm256_loadu_si256(lanes), _mm256_loadu_si256(lanes + 1)};
  }
  static Inputs load_inputs(const char* x) { return {even(broadcast(x)), odd(broadcast(x))}; }
  static Inputs load_half_inputs(const char* x) {
    return {even(broadcast_half(x)), odd(broadcast_half(x))};
  }
  static F multiply_add(const F& sums, const Inputs& x, const Weights& w) {
    const F odds{_mm256_fmadd_ps(x.odd, odd(w.low), sums.low),
                 _mm256_fmadd_ps(x.odd, odd(w.high), sums.high)};
    return {_mm256_fmadd_ps(x.even, even(w.low), odds.low),
            _mm256_fmadd_ps(x.even, even(w.high), odds.high)};
  }
};

/// Pairs of int16 by pairs of int8.
struct Int16ByInt8 {
  struct F {
    __m256i low;
    __m256i high;
  };
  using Weights = F;
  using Inputs = __m256i;
  static F zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static F load(const float* from) {
    const auto* const lanes = reinterpret_cast<const __m256i*>(from);
    return {_mm256_loadu_si256(lanes), _mm256_loadu_si256(lanes + 1)};
  }
  static void store(float* to, const F& sums) {
    auto* const lanes = reinterpret_cast<__m256i*>(to);
    _mm256_storeu_si256(lanes, sums.low);
    _mm256_storeu_si256(lanes + 1, sums.high);
  }
  static Weights load_weights(const char* w) {
    const auto* const codes = reinterpret_cast<const __m128i*>(w);
    return {_mm256_cvtepi8_epi16(_mm_loadu_si128(codes)),
            _mm256_cvtepi8_epi16(_mm_loadu_si128(codes + 1))};
  }
  static Inputs load_inputs(const char* x) { return broadcast(x); }
  static Inputs load_half_inputs(const char* x) { return broadcast_half(x); }
  static F multiply_add(const F& sums, Inputs x, const Weights& w) {
    return {_mm256_add_epi32(sums.low, _mm256_madd_epi16(x, w.low)),
            _mm256_add_epi32(sums.high, _mm256_madd_epi16(x, w.high))};
  }
};

}  // namespace

// 6 x 1 panel of two registers, 2 weights and 1 input fill 15 of 16 registers.
constexpr GemmMicro kGemmAvx2Fp32 = make_gemm_micro<Fp32, 6, 1>();
constexpr GemmMicro kGemmAvx2Int16ByInt8 = make_sums_micro<Int16ByInt8, 6, 1>();
constexpr GemmMicro kGemmAvx2Fp32ByBf16 = make_gemm_micro<Fp32ByBf16, 6, 1>();
// 4 x 1 panel of two registers, 4 widened weights and 2 inputs fill 14.
constexpr GemmMicro kGemmAvx2Bf16 = make_gemm_micro<WidenedBf16, 4, 1>();

}  // namespace veloz::cpu
