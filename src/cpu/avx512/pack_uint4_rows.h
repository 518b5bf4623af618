// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "cpu/avx512/lanes.h"
#include "cpu/avx512/transpose_quads.h"
#include "cpu/uint4_loop.h"

namespace veloz::cpu {
namespace {

constexpr int64_t kQuadRows = 16;  // whose quads fill a register
static_assert(kMaxUint4Rows <= kQuadRows && kStepBytesX == 4);

/// pack_uint4_rows, 16 quads of all rows at a time.
void transpose_uint4_rows(const Uint4Rows& rows) {
  if (rows.packed == nullptr) return pack_uint4_rows(rows);
  constexpr int64_t kBlock = 32, kBlockQuads = kBlock / kStepBytesX;  // groups are whole blocks
  const __mmask16 all_rows = static_cast<__mmask16>((1U << rows.num_rows) - 1);
  const int64_t num_columns = rows.num_groups * rows.group;
  const ptrdiff_t quad_bytes = rows.num_rows * kStepBytesX;
  int8_t* packed = rows.packed;
  int32_t* corrections = rows.corrections;
  __m512i group_sums = _mm512_setzero_si512();
  for (int64_t at = 0; at < num_columns; at += 2 * kBlock) {
    const bool is_cut = at + kBlock == num_columns;
    const __mmask64 columns = is_cut ? ~uint32_t{0} : ~uint64_t{0};
    __m512i m[kQuadRows];
    for (int64_t r = 0; r < kQuadRows; ++r)
      m[r] = r < rows.num_rows ? _mm512_maskz_loadu_epi8(columns, rows.x + r * rows.x_stride + at)
                               : _mm512_setzero_si512();
    transpose_quads(m);
    for (int64_t block = 0; block < (is_cut ? 1 : 2); ++block) {
      __m512i pair_sums = _mm512_setzero_si512();  // of 16 bits: 8 x 2 x 128 at most
      for (int64_t i = block * kBlockQuads; i < (block + 1) * kBlockQuads; ++i) {
        _mm512_mask_storeu_epi32(packed, all_rows, m[i]);
        packed += quad_bytes;
        pair_sums = _mm512_add_epi16(pair_sums, _mm512_maddubs_epi16(_mm512_set1_epi8(1), m[i]));
      }
      group_sums = _mm512_add_epi32(group_sums, _mm512_madd_epi16(pair_sums, _mm512_set1_epi16(1)));
      if ((at + (block + 1) * kBlock) % rows.group != 0) continue;
      _mm512_mask_storeu_epi32(corrections, all_rows,
                               _mm512_mullo_epi32(group_sums, _mm512_set1_epi32(rows.factor)));
      corrections += rows.num_rows;
      group_sums = _mm512_setzero_si512();
    }
  }
}

}  // namespace
}  // namespace veloz::cpu
