// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "cpu/avx512/transpose_quads.h"
#include "cpu/gemm_tile.h"

namespace veloz::cpu {
namespace {

static_assert(kMaxPassRows == 16 && kStepBytesX == 4, "a register holds a step of all rows");

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
