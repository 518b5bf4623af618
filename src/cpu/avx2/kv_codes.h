// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx2/lanes.h"

namespace veloz::cpu {
namespace {

constexpr int64_t kWidenedCodes = 16;

__m256i load_codes(const char* codes) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
}

/// 16 codes of fp8_e4m3 as bf16 (see avx512/kv_codes.h). Subnormals are looked up byte by byte:
/// lower bytes in the first half of the table, upper ones in the second.
void widen_fp8(const char* codes, char* values) {
  const __m256i subnormals = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 0, static_cast<char>(0x80), static_cast<char>(0xc0), 0, 0x20, 0x40, 0x60, 0,
                    0x3b, 0x3b, 0x3b, 0x3c, 0x3c, 0x3c, 0x3c));
  const __m256i nan = _mm256_set1_epi16(0x07f0);
  const __m256i code = load_codes(codes);
  const __m256i magnitude = _mm256_and_si256(_mm256_slli_epi16(code, 4), nan);
  const __m256i normal = _mm256_add_epi16(magnitude, _mm256_set1_epi16((127 - 7) << 7));
  const __m256i mantissa = _mm256_and_si256(code, _mm256_set1_epi16(7));
  const __m256i index = _mm256_or_si256(
      mantissa, _mm256_add_epi16(_mm256_slli_epi16(mantissa, 8), _mm256_set1_epi16(0x0800)));
  const __m256i is_subnormal = _mm256_cmpgt_epi16(_mm256_set1_epi16(0x80), magnitude);
  __m256i value = _mm256_blendv_epi8(normal, _mm256_shuffle_epi8(subnormals, index), is_subnormal);
  value = _mm256_or_si256(
      value, _mm256_and_si256(_mm256_cmpeq_epi16(magnitude, nan), _mm256_set1_epi16(0x7fc0)));
  const __m256i sign = _mm256_and_si256(code, _mm256_set1_epi16(static_cast<int16_t>(0x8000)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), _mm256_or_si256(value, sign));
}

void widen_int8(const char* codes, char* values) {
  const __m256i code = load_codes(codes);
  const __m256i even = _mm256_srai_epi32(_mm256_slli_epi32(code, 16), 16);
  const __m256i odd = _mm256_srai_epi32(code, 16);
  const __m256i low = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(even)), 16);
  const __m256i high = _mm256_castps_si256(_mm256_cvtepi32_ps(odd));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), _mm256_or_si256(low, high));
}

void store_int16(void* to, const Lanes::F& a) {
  const __m256i packed = _mm256_packs_epi32(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high));
  // Packing works within 128-bit halves: bring the quarters in order.
  _mm256_storeu_si256(static_cast<__m256i*>(to), _mm256_permute4x64_epi64(packed, 0b11011000));
}

}  // namespace
}  // namespace veloz::cpu
