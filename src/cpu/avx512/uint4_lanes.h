// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx512/lanes.h"

namespace veloz::cpu {
namespace {

/// What tiles of 4-bit weights need beyond Lanes.
struct Uint4Lanes : Lanes {
  using Sums = __m512i;
  using Codes = __m512i;
  using Inputs = __m512i;

  static F load_fp16(const void* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
  }
  static Sums set1_int(int32_t value) { return _mm512_set1_epi32(value); }
  static Sums load_bytes(const uint8_t* from) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Sums mul_int(Sums a, Sums b) { return _mm512_mullo_epi32(a, b); }
  static F to_float(Sums a) { return _mm512_cvtepi32_ps(a); }
  static Codes load_codes(const char* w) { return _mm512_loadu_si512(w); }
  static Codes low_codes(Codes codes) { return _mm512_and_si512(codes, _mm512_set1_epi8(15)); }
  static Codes high_codes(Codes codes) { return low_codes(_mm512_srli_epi16(codes, 4)); }
  static Inputs load_quad(const char* x) {
    int32_t quad;
    __builtin_memcpy(&quad, x, sizeof(quad));
    return _mm512_set1_epi32(quad);
  }
};

}  // namespace
}  // namespace veloz::cpu
