// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "cpu/gemm_tile.h"

namespace veloz::cpu {
namespace {

static_assert(kMaxPassRows == 16 && kStepBytesX == 4, "a register holds a step of all rows");

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

void pack_pass_rows(const GemmPassRows& rows) {
  for (int64_t at = 0; at < rows.row_bytes; at += kStepBytes) {
    const int64_t left = rows.row_bytes - at;
    const int64_t bytes = left < kStepBytes ? left : kStepBytes;
    const __mmask64 mask = ~uint64_t{0} >> (kStepBytes - bytes);
    __m512i m[kMaxPassRows];
    for (int64_t r = 0; r < kMaxPassRows; ++r)
      m[r] = r < rows.num_rows ? _mm512_maskz_loadu_epi8(mask, rows.x + r * rows.x_stride + at)
                               : _mm512_setzero_si512();
    transpose_quads(m);
    const int64_t num_steps = (bytes + kStepBytesX - 1) / kStepBytesX;
    for (int64_t i = 0; i < num_steps; ++i)
      _mm512_store_si512(rows.packed + (at / kStepBytesX + i) * kStepBytes, m[i]);
  }
}

}  // namespace
}  // namespace veloz::cpu
