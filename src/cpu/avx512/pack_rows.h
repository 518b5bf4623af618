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

[[maybe_unused]] void pack_pass_rows(const GemmPassRows& rows) {
  if (rows.num_rows == 1) {
    const int64_t missing = -rows.row_bytes & (kStepBytesX - 1);
    __builtin_memcpy(rows.packed, rows.x, static_cast<size_t>(rows.row_bytes));
    __builtin_memset(rows.packed + rows.row_bytes, 0, static_cast<size_t>(missing));
    return;
  }
  const __mmask16 all_rows = static_cast<__mmask16>((1U << rows.num_rows) - 1);
  const ptrdiff_t quad_bytes = rows.num_rows * kStepBytesX;
  std::byte* packed = rows.packed;
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
    for (int64_t i = 0; i < num_steps; ++i, packed += quad_bytes)
      _mm512_mask_storeu_epi32(packed, all_rows, m[i]);
  }
}

/// Of rows whose steps are whole.
template <int64_t kStep>
void pack_widened_rows(const GemmPassRows& rows) {
  std::byte* packed = rows.packed;
  for (int64_t at = 0; at < rows.row_bytes; at += kStep)
    for (int64_t r = 0; r < rows.num_rows; ++r, packed += kStep)
      __builtin_memcpy(packed, rows.x + r * rows.x_stride + at, kStep);
}

}  // namespace
}  // namespace veloz::cpu
