// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace veloz::cpu {
namespace {

__mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }

/// Round to nearest even, NaN stays a quiet NaN: bit for bit what BFloat16's constructor does.
__m256i round_to_bf16(__m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i upper = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(
      _mm512_mask_or_epi32(rounded, is_nan, upper, _mm512_set1_epi32(0x40)));
}

/// What all linear tiles of AVX-512 share: sums of a panel in one register.
struct Avx512Sums {
  using Sums = __m512;
  static Sums zero() { return _mm512_setzero_ps(); }
  static Sums load_sums(const float* from) { return _mm512_loadu_ps(from); }
  static void store_sums(float* to, Sums sums) { _mm512_storeu_ps(to, sums); }
  static Sums add(Sums a, Sums b) { return _mm512_add_ps(a, b); }
  static Sums load_bias(const float* bias, int64_t columns) {
    return _mm512_maskz_loadu_ps(first_lanes(columns), bias);
  }
  static void store_fp32(char* y, Sums sums, int64_t columns) {
    _mm512_mask_storeu_ps(y, first_lanes(columns), sums);
  }
  static void store_bf16(char* y, Sums sums, int64_t columns) {
    _mm256_mask_storeu_epi16(y, first_lanes(columns), round_to_bf16(sums));
  }
  static __m512i broadcast(const char* x) {
    int32_t value;
    __builtin_memcpy(&value, x, sizeof(value));
    return _mm512_set1_epi32(value);
  }
  static __m512i broadcast_half(const char* x) {
    uint16_t value;
    __builtin_memcpy(&value, x, sizeof(value));
    return _mm512_set1_epi32(value);
  }
};

}  // namespace
}  // namespace veloz::cpu
