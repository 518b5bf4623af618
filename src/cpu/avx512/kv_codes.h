// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace veloz::cpu {
namespace {

constexpr int64_t kWidenedCodes = 32;

/// 32 codes of fp8_e4m3 as bf16. Both have their exponent above their mantissa, so a normal number
/// only moves up by 4 bits and its exponent from bias 7 to 127. Subnormals, eight in all, and NaN
/// are looked up.
void widen_fp8(const char* codes, char* values) {
  const __m512i subnormals = _mm512_castsi128_si512(
      _mm_setr_epi16(0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60));
  const __m512i nan = _mm512_set1_epi16(0x07f0);
  const __m512i code =
      _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
  const __m512i magnitude = _mm512_and_si512(_mm512_slli_epi16(code, 4), nan);
  __m512i value = _mm512_add_epi16(magnitude, _mm512_set1_epi16((127 - 7) << 7));
  value = _mm512_mask_permutexvar_epi16(
      value, _mm512_testn_epi16_mask(code, _mm512_set1_epi16(0x78)), code, subnormals);
  value = _mm512_mask_mov_epi16(value, _mm512_cmpeq_epi16_mask(magnitude, nan),
                                _mm512_set1_epi16(0x7fc0));
  constexpr int kOrSign = 0xF8;  // value | (code & sign)
  _mm512_storeu_si512(
      values, _mm512_ternarylogic_epi32(value, code,
                                        _mm512_set1_epi16(static_cast<int16_t>(0x8000)), kOrSign));
}

/// 32 codes of int8 as bf16, whose upper half of an fp32 holds them exactly: even and odd codes go
/// through fp32 on their own.
void widen_int8(const char* codes, char* values) {
  const __m512i code =
      _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
  const __m512i even = _mm512_srai_epi32(_mm512_slli_epi32(code, 16), 16);
  const __m512i odd = _mm512_srai_epi32(code, 16);
  const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(_mm512_cvtepi32_ps(even)), 16);
  const __m512i high = _mm512_castps_si512(_mm512_cvtepi32_ps(odd));
  _mm512_storeu_si512(values, _mm512_or_si512(low, high));
}

/// 16 fp32 below 2^15 in magnitude as int16, rounded to nearest even.
void store_int16(void* to, __m512 a) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a)));
}

}  // namespace
}  // namespace veloz::cpu
