// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace veloz::cpu {
namespace {

/// 16 fp32 in one register: what the loops of kernels are written over (see portable/lanes.h, which
/// says what each function means).
struct Lanes {
  using F = __m512;
  using I = __m512i;

  static F zero() { return _mm512_setzero_ps(); }
  static F set1(float value) { return _mm512_set1_ps(value); }
  static F load(const float* from) { return _mm512_loadu_ps(from); }
  static F load(const float* from, int64_t count) {
    return _mm512_maskz_loadu_ps(first(count), from);
  }
  static void store(float* to, F a) { _mm512_storeu_ps(to, a); }
  static void store(float* to, F a, int64_t count) { _mm512_mask_storeu_ps(to, first(count), a); }
  static F load_bf16(const void* from) {
    return widen(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
  }
  static F load_bf16(const void* from, int64_t count) {
    return widen(_mm256_maskz_loadu_epi16(first(count), from));
  }
  static void store_bf16(void* to, F a) {
    _mm256_storeu_si256(static_cast<__m256i*>(to), round_to_bf16(a));
  }
  static void store_bf16(void* to, F a, int64_t count) {
    _mm256_mask_storeu_epi16(to, first(count), round_to_bf16(a));
  }
  static F load_fp16(const void* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
  }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F mul_add(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F round(F a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static F scale_by_power(F a, F n) { return _mm512_scalef_ps(a, n); }
  static F where_less(F a, F b, F yes, F no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  static F swap_pairs(F a) { return _mm512_permute_ps(a, 0b10110001); }
  template <int n>
  static F move_down(F a) {
    if constexpr (n == 8) return _mm512_shuffle_f32x4(a, a, 0b11101110);
    if constexpr (n == 4) return _mm512_shuffle_f32x4(a, a, 0b11110101);
    if constexpr (n == 2) return _mm512_permute_ps(a, 0b11101110);
    if constexpr (n == 1) return _mm512_permute_ps(a, 0b11110101);
  }
  static float first_lane(F a) { return _mm512_cvtss_f32(a); }
  static F keep_first(F a, int64_t count, F other) {
    return _mm512_mask_blend_ps(first(count), other, a);
  }

  static I set1_int(int32_t value) { return _mm512_set1_epi32(value); }
  static I load_int(const void* from) { return _mm512_loadu_si512(from); }
  static void store_int(void* to, I a) { _mm512_storeu_si512(to, a); }
  static I add_int(I a, I b) { return _mm512_add_epi32(a, b); }
  static I max_int(I a, I b) { return _mm512_max_epi32(a, b); }
  static I and_int(I a, I b) { return _mm512_and_si512(a, b); }
  static I or_int(I a, I b) { return _mm512_or_si512(a, b); }
  template <int n>
  static I shift_right(I a) {
    return _mm512_srli_epi32(a, n);
  }
  template <int n>
  static I shift_left(I a) {
    return _mm512_slli_epi32(a, n);
  }
  static I mul_int(I a, I b) { return _mm512_mullo_epi32(a, b); }
  static I load_uint8(const void* from) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from)));
  }
  static F int_to_fp32(I a) { return _mm512_cvtepi32_ps(a); }
  static I round_to_int(F a) { return _mm512_cvtps_epi32(a); }
  static I bits_of(F a) { return _mm512_castps_si512(a); }
  static F from_bits(I a) { return _mm512_castsi512_ps(a); }
  static I bf16_bits(F value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i upper = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(rounded, is_nan, upper, _mm512_set1_epi32(0x40));
  }
  static void store_bytes(void* to, I a) {
    _mm_storeu_si128(static_cast<__m128i*>(to), _mm512_cvtepi32_epi8(a));
  }
  static void store_bytes(void* to, I a, int64_t count) {
    _mm512_mask_cvtepi32_storeu_epi8(to, first(count), a);
  }

 private:
  static __mmask16 first(int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
  static F widen(__m256i bf16) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
  }
  static __m256i round_to_bf16(F value) { return _mm512_cvtepi32_epi16(bf16_bits(value)); }
};

}  // namespace
}  // namespace veloz::cpu
