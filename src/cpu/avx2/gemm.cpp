// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "cpu/linear_loop.h"

namespace veloz::cpu {
namespace {

/// Two registers: 16 lanes.
struct Lanes {
  __m256 low;
  __m256 high;
};

struct Avx2Sums {
  using Sums = Lanes;
  static Sums zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Sums load_sums(const float* from) {
    return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
  }
  static void store_sums(float* to, const Sums& sums) {
    _mm256_storeu_ps(to, sums.low);
    _mm256_storeu_ps(to + 8, sums.high);
  }
  static Sums add(const Sums& a, const Sums& b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static Sums load_bias(const float* bias, int64_t columns) {
    float lanes[kPanelWidth] = {};
    for (int64_t c = 0; c < columns; ++c) lanes[c] = bias[c];
    return load_sums(lanes);
  }
  static void store_fp32(char* y, const Sums& sums, int64_t columns) {
    float lanes[kPanelWidth];
    store_sums(lanes, sums);
    __builtin_memcpy(y, lanes, static_cast<size_t>(columns) * sizeof(float));
  }
  static void store_bf16(char* y, const Sums& sums, int64_t columns) {
    uint16_t lanes[kPanelWidth];
    const __m256i packed = _mm256_packus_epi32(round_to_bf16(sums.low), round_to_bf16(sums.high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes),
                        _mm256_permute4x64_epi64(packed, 0b11011000));  // packs per 128-bit half
    __builtin_memcpy(y, lanes, static_cast<size_t>(columns) * sizeof(uint16_t));
  }
  /// Bit for bit what BFloat16's constructor does, in the lower half of each lane.
  static __m256i round_to_bf16(__m256 value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, quiet, is_nan);
  }
  static __m256i broadcast(const char* x) {
    int32_t value;
    __builtin_memcpy(&value, x, sizeof(value));
    return _mm256_set1_epi32(value);
  }
  static __m256i broadcast_half(const char* x) {
    uint16_t value;
    __builtin_memcpy(&value, x, sizeof(value));
    return _mm256_set1_epi32(value);
  }
};

struct Fp32 : Avx2Sums {
  using Weights = Lanes;
  using Inputs = __m256;
  static Weights load_weights(const char* w) {
    return load_sums(reinterpret_cast<const float*>(w));
  }
  static Inputs load_inputs(const char* x) { return _mm256_castsi256_ps(broadcast(x)); }
  static Inputs load_half_inputs(const char* x) { return load_inputs(x); }  // fp32 has no halves
  static Sums multiply_add(const Sums& sums, Inputs inputs, const Weights& weights) {
    return {_mm256_fmadd_ps(inputs, weights.low, sums.low),
            _mm256_fmadd_ps(inputs, weights.high, sums.high)};
  }
};

struct WidenedBf16 : Avx2Sums {
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
  static Sums multiply_add(const Sums& sums, const Inputs& x, const Weights& w) {
    const Sums odds{_mm256_fmadd_ps(x.odd, odd(w.low), sums.low),
                    _mm256_fmadd_ps(x.odd, odd(w.high), sums.high)};
    return {_mm256_fmadd_ps(x.even, even(w.low), odds.low),
            _mm256_fmadd_ps(x.even, even(w.high), odds.high)};
  }
};

}  // namespace

// 6 x 1 panel of two registers, 2 weights and 1 input fill 15 of 16 registers.
const LinearMicro kLinearAvx2Fp32 = make_linear_micro<Fp32, 6, 1>();
// 4 x 1 panel of two registers, 4 widened weights and 2 inputs fill 14.
const LinearMicro kLinearAvx2Bf16 = make_linear_micro<WidenedBf16, 4, 1>();

}  // namespace veloz::cpu
