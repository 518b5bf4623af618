// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace veloz::cpu {
namespace {

/// 16 fp32 in two registers: what the loops of kernels are written over (see portable/lanes.h,
/// which says what each function means).
struct Lanes {
  struct F {
    __m256 low;
    __m256 high;
  };
  struct I {
    __m256i low;
    __m256i high;
  };

  static F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static F set1(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static F load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
  static F load(const float* from, int64_t count) {
    float lanes[16] = {};
    __builtin_memcpy(lanes, from, static_cast<size_t>(count) * sizeof(float));
    return load(lanes);
  }
  static void store(float* to, const F& a) {
    _mm256_storeu_ps(to, a.low);
    _mm256_storeu_ps(to + 8, a.high);
  }
  static void store(float* to, const F& a, int64_t count) {
    float lanes[16];
    store(lanes, a);
    __builtin_memcpy(to, lanes, static_cast<size_t>(count) * sizeof(float));
  }
  static F load_bf16(const void* from) {
    const auto* const halves = static_cast<const __m128i*>(from);
    return {widen(_mm_loadu_si128(halves)), widen(_mm_loadu_si128(halves + 1))};
  }
  static F load_bf16(const void* from, int64_t count) {
    uint16_t lanes[16] = {};
    __builtin_memcpy(lanes, from, static_cast<size_t>(count) * sizeof(uint16_t));
    return load_bf16(lanes);
  }
  static void store_bf16(void* to, const F& a) {
    const __m256i packed = _mm256_packus_epi32(round_to_bf16(a.low), round_to_bf16(a.high));
    // Packing works within 128-bit halves: bring the quarters in order.
    _mm256_storeu_si256(static_cast<__m256i*>(to), _mm256_permute4x64_epi64(packed, 0b11011000));
  }
  static void store_bf16(void* to, const F& a, int64_t count) {
    uint16_t lanes[16];
    store_bf16(lanes, a);
    __builtin_memcpy(to, lanes, static_cast<size_t>(count) * sizeof(uint16_t));
  }
  static F load_fp16(const void* from) {
    const auto* const halves = static_cast<const __m128i*>(from);
    return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
  }
  static F add(const F& a, const F& b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static F sub(const F& a, const F& b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  static F mul(const F& a, const F& b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static F div(const F& a, const F& b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
  }
  static F mul_add(const F& a, const F& b, const F& c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static F max(const F& a, const F& b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  static F min(const F& a, const F& b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
  }
  static F abs(const F& a) {
    const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    return {_mm256_and_ps(a.low, mask), _mm256_and_ps(a.high, mask)};
  }
  static F round(const F& a) {
    constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kMode), _mm256_round_ps(a.high, kMode)};
  }
  static F scale_by_power(const F& a, const F& n) {
    return {scale_half(a.low, n.low), scale_half(a.high, n.high)};
  }
  static F where_less(const F& a, const F& b, const F& yes, const F& no) {
    return {_mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
            _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
  }
  static F swap_pairs(const F& a) {
    return {_mm256_permute_ps(a.low, 0b10110001), _mm256_permute_ps(a.high, 0b10110001)};
  }
  template <int n>
  static F move_down(const F& a) {
    if constexpr (n == 8) return {a.high, a.high};
    const auto within = [](__m256 half) {
      if constexpr (n == 4) return _mm256_permute2f128_ps(half, half, 0b00010001);
      if constexpr (n == 2) return _mm256_permute_ps(half, 0b11101110);
      return _mm256_permute_ps(half, 0b11110101);
    };
    return {within(a.low), a.high};
  }
  static float first_lane(const F& a) { return _mm256_cvtss_f32(a.low); }
  static F keep_first(const F& a, int64_t count, const F& other) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const auto keep = [&](int64_t n) {
      return _mm256_castsi256_ps(
          _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)), index));
    };
    return {_mm256_blendv_ps(other.low, a.low, keep(count)),
            _mm256_blendv_ps(other.high, a.high, keep(count - 8))};
  }

  static I set1_int(int32_t value) { return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)}; }
  static I load_int(const void* from) {
    const auto* const halves = static_cast<const __m256i*>(from);
    return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
  }
  static void store_int(void* to, const I& a) {
    auto* const halves = static_cast<__m256i*>(to);
    _mm256_storeu_si256(halves, a.low);
    _mm256_storeu_si256(halves + 1, a.high);
  }
  static I add_int(const I& a, const I& b) {
    return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
  }
  static I max_int(const I& a, const I& b) {
    return {_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)};
  }
  static I and_int(const I& a, const I& b) {
    return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
  }
  static I or_int(const I& a, const I& b) {
    return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
  }
  template <int n>
  static I shift_right(const I& a) {
    return {_mm256_srli_epi32(a.low, n), _mm256_srli_epi32(a.high, n)};
  }
  template <int n>
  static I shift_left(const I& a) {
    return {_mm256_slli_epi32(a.low, n), _mm256_slli_epi32(a.high, n)};
  }
  static I mul_int(const I& a, const I& b) {
    return {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
  }
  static I load_uint8(const void* from) {
    const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(from));
    return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
  }
  static F int_to_fp32(const I& a) {
    return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
  }
  static I round_to_int(const F& a) {
    return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)};
  }
  static I bits_of(const F& a) { return {_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)}; }
  static F from_bits(const I& a) {
    return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)};
  }
  static I bf16_bits(const F& a) { return {round_to_bf16(a.low), round_to_bf16(a.high)}; }
  /// Pairs of bf16, a lane of `first` below that of `second`; none may be NaN.
  static I pairs_of_numbers(const F& first, const F& second) {
    return {pair_numbers(first.low, second.low), pair_numbers(first.high, second.high)};
  }
  static bool are_finite(const F& a) {
    const auto is_finite = [](__m256 half) {  // x - x is 0 or NaN
      const __m256 difference = _mm256_sub_ps(half, half);
      return _mm256_cmp_ps(difference, difference, _CMP_ORD_Q);
    };
    return _mm256_movemask_ps(_mm256_and_ps(is_finite(a.low), is_finite(a.high))) == 0xff;
  }
  static void store_bytes(void* to, const I& a) {
    const I bytes = and_int(a, set1_int(0xff));
    // Packing works within 128-bit halves: bring the quarters in order.
    const __m256i words =
        _mm256_permute4x64_epi64(_mm256_packus_epi32(bytes.low, bytes.high), 0b11011000);
    _mm_storeu_si128(
        static_cast<__m128i*>(to),
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  }
  static void store_bytes(void* to, const I& a, int64_t count) {
    uint8_t lanes[16];
    store_bytes(lanes, a);
    __builtin_memcpy(to, lanes, static_cast<size_t>(count));
  }

 private:
  static __m256 widen(__m128i bf16) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
  }
  /// In the upper half of each lane, if it is no NaN.
  static __m256i round_number(__m256 value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  }
  static __m256i pair_numbers(__m256 first, __m256 second) {
    return _mm256_blend_epi16(_mm256_srli_epi32(round_number(first), 16), round_number(second),
                              0b10101010);
  }
  /// In the lower half of each lane.
  static __m256i round_to_bf16(__m256 value) {
    const __m256i rounded = _mm256_srli_epi32(round_number(value), 16);
    const __m256i quiet =
        _mm256_or_si256(_mm256_srli_epi32(_mm256_castps_si256(value), 16), _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, quiet, is_nan);
  }
  static __m256 scale_half(__m256 a, __m256 n) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }
};

}  // namespace
}  // namespace veloz::cpu
