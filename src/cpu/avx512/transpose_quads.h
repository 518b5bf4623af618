// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

namespace veloz::cpu {
namespace {

/// Column i of 16 rows of 16 quads of bytes becomes row i.
void transpose_quads(__m512i (&m)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(m[i], m[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(m[i], m[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {  // lane l of m[i + j]: column 4 l + j of rows i to i + 3
    m[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    m[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    m[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    m[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  constexpr int kEvenLanes = 0x88, kOddLanes = 0xdd;
  for (int i = 0; i < 16; i += 8)
    for (int j = i; j < i + 4; ++j) {
      t[j] = _mm512_shuffle_i32x4(m[j], m[j + 4], kEvenLanes);
      t[j + 4] = _mm512_shuffle_i32x4(m[j], m[j + 4], kOddLanes);
    }
  for (int j = 0; j < 8; ++j) {
    m[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], kEvenLanes);
    m[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], kOddLanes);
  }
}

}  // namespace
}  // namespace veloz::cpu
