// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loops of a tile of 4-bit weights, written once over the vector operations of an instruction
// set. Only the files of the instruction sets include this: all is in an anonymous namespace, so
// each has its own copy, compiled with its own flags.

#include <cstddef>
#include <cstdint>

#include "cpu/gemm_loop.h"
#include "cpu/scale_lanes.h"
#include "cpu/uint4_tile.h"

namespace veloz::cpu {
namespace {

/// `Simd` is the Lanes of an instruction set, with Codes (a step, or one quad of each channel in
/// it), Inputs (a quad of a row, for every channel) and Chunk (what a chunk's products are summed
/// in).
template <typename Simd, int kRows>
void run_uint4_tile(const Uint4Tile& tile) {
  constexpr ptrdiff_t kQuadBytes = kRows * kStepBytesX;
  const char* x = static_cast<const char*>(tile.x);
  const char* w = static_cast<const char*>(tile.w);
  const char* scales = static_cast<const char*>(tile.scales);
  const ptrdiff_t scale_bytes = kPanelWidth * bytes_of(tile.scale_type);
  typename Simd::F sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = Simd::zero();

  for (int64_t g = 0; g < tile.num_groups; ++g) {
    const int32_t* const corrections = tile.corrections + g * kRows;
    typename Simd::I dots[kRows];
    if (tile.zeros == nullptr) {
      for (int r = 0; r < kRows; ++r) dots[r] = Simd::set1_int(corrections[r]);
    } else {
      const typename Simd::I zeros = Simd::load_uint8(tile.zeros + g * kPanelWidth);
      for (int r = 0; r < kRows; ++r)
        dots[r] = Simd::mul_int(zeros, Simd::set1_int(corrections[r]));
    }
    for (int64_t chunk = 0; chunk < tile.chunks_per_group; ++chunk) {
      typename Simd::Chunk products[kRows];
      for (int r = 0; r < kRows; ++r) products[r] = Simd::begin_chunk(dots[r]);
      for (int64_t step = 0; step < kUint4ChunkSteps; ++step) {
        __builtin_prefetch(w + tile.w_prefetch, 0, 2);
        const typename Simd::Codes codes = Simd::load_codes(w);
        const typename Simd::Codes low = Simd::low_codes(codes);
        for (int r = 0; r < kRows; ++r)
          products[r] = Simd::multiply_add(products[r], low, Simd::load_quad(x + r * kStepBytesX));
        const typename Simd::Codes high = Simd::high_codes(codes);
        for (int r = 0; r < kRows; ++r)
          products[r] = Simd::multiply_add(products[r], high,
                                           Simd::load_quad(x + kQuadBytes + r * kStepBytesX));
        w += kStepBytes;
        x += 2 * kQuadBytes;
      }
      for (int r = 0; r < kRows; ++r) dots[r] = Simd::end_chunk(dots[r], products[r]);
    }
    __builtin_prefetch(scales + tile.scale_prefetch, 0, 2);
    const typename Simd::F scale = load_scales<Simd>(scales, tile.scale_type);
    for (int r = 0; r < kRows; ++r)
      sums[r] = Simd::mul_add(Simd::int_to_fp32(dots[r]), scale, sums[r]);
    scales += scale_bytes;
  }

  for (int r = 0; r < kRows; ++r)
    Simd::store(tile.sums + r * kPanelWidth,
                Simd::mul(sums[r], Simd::set1(tile.x_scales[r * tile.x_scale_stride])));
}

void pack_uint4_rows(const Uint4Rows& rows) {
  const int64_t num_columns = rows.num_groups * rows.group;
  for (int64_t r = 0; r < rows.num_rows; ++r) {
    const int8_t* const x = rows.x + r * rows.x_stride;
    for (int64_t g = 0; g < rows.num_groups; ++g) {
      int32_t sum = 0;
      for (int64_t k = g * rows.group; k < (g + 1) * rows.group; ++k) sum += x[k];
      rows.corrections[g * rows.num_rows + r] = rows.factor * sum;
    }
    if (rows.packed == nullptr) continue;
    for (int64_t k = 0; k < num_columns; k += kStepBytesX)
      __builtin_memcpy(rows.packed + k * rows.num_rows + r * kStepBytesX, x + k, kStepBytesX);
  }
}

/// Tiles of up to kRows; the table's other entries stay null.
template <typename Simd, int kRows>
constexpr Uint4Micro make_uint4_micro() {
  Uint4Micro micro{
      .max_rows = kRows, .tiles = {}, .pack_rows = pack_uint4_rows, .store = store_tile<Fp32Sums>};
  constexpr auto kFill = []<int kCount>(Uint4Micro& m, auto&& self) {
    if constexpr (kCount > 0) {
      m.tiles[kCount - 1] = run_uint4_tile<Simd, kCount>;
      self.template operator()<kCount - 1>(m, self);
    }
  };
  kFill.template operator()<kRows>(micro, kFill);
  return micro;
}

}  // namespace
}  // namespace veloz::cpu
