// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loops of a tile of 4-bit weights, written once over the vector operations of an instruction
// set. Only the files of the instruction sets include this: all is in an anonymous namespace, so
// each has its own copy, compiled with its own flags.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "cpu/gemm_loop.h"
#include "cpu/scale_lanes.h"
#include "cpu/uint4_tile.h"

namespace veloz::cpu {
namespace {

/// Whether there are registers for as many sums over groups as products have.
constexpr bool holds_sums(int rows, int panels) { return rows * panels <= 12; }
constexpr int held_rows(int rows, int panels) { return holds_sums(rows, panels) ? rows : 1; }

/// `Simd` is the Lanes of an instruction set, with Codes (a step, or one quad of each channel in
/// it), Inputs (a quad of a row, for every channel) and Chunk (what a chunk's products are summed
/// in).
template <typename Simd, int kRows, int kPanels>
void run_uint4_tile(const Uint4Tile& shared) {
  constexpr ptrdiff_t kQuadBytes = kRows * kStepBytesX;
  const Uint4Tile tile = shared;  // a copy, whose fields stay in registers
  const char* x = static_cast<const char*>(tile.x);
  const char* w = static_cast<const char*>(tile.w);
  const char* scales = static_cast<const char*>(tile.scales);
  const char* prefetch = tile.prefetch;
  const char* scale_prefetch = tile.scale_prefetch;
  const ptrdiff_t scale_bytes = kPanelWidth * bytes_of(tile.scale_type);
  const ptrdiff_t scale_stride = tile.num_groups * scale_bytes;
  const auto ask_for = [&](const char* from, ptrdiff_t stride) {
    for (int p = 0; p < kPanels; ++p) {
      if (tile.prefetch_is_far)
        __builtin_prefetch(from + p * stride, 0, 2);
      else
        __builtin_prefetch(from + p * stride);
    }
  };
  // Sums over groups that are not held stay in the first-level cache.
  constexpr bool kHoldsSums = holds_sums(kRows, kPanels);
  typename Simd::F sums[held_rows(kRows, kPanels)][kPanels];
  for (auto& row : sums)
    for (auto& sum : row) sum = Simd::zero();
  const auto add = [&](int r, int p, typename Simd::F dot, typename Simd::F scale, bool is_first) {
    if constexpr (kHoldsSums) {
      sums[r][p] = Simd::mul_add(dot, scale, sums[r][p]);
    } else {
      float* const sum = tile.sums + r * kUint4SumsStride + p * kPanelWidth;
      Simd::store(sum, Simd::mul_add(dot, scale, is_first ? Simd::zero() : Simd::load(sum)));
    }
  };

  for (int64_t g = 0; g < tile.num_groups; ++g) {
    const int32_t* const corrections = tile.corrections + g * kRows;
    typename Simd::I dots[kRows][kPanels];
    for (int p = 0; p < kPanels; ++p) {
      if (tile.zeros == nullptr) {
        for (int r = 0; r < kRows; ++r) dots[r][p] = Simd::set1_int(corrections[r]);
        continue;
      }
      const typename Simd::I zeros =
          Simd::load_uint8(tile.zeros + (p * tile.num_groups + g) * kPanelWidth);
      for (int r = 0; r < kRows; ++r)
        dots[r][p] = Simd::mul_int(zeros, Simd::set1_int(corrections[r]));
    }
    for (int64_t chunk = 0; chunk < tile.chunks_per_group; ++chunk) {
      typename Simd::Chunk products[kRows][kPanels];
      for (int r = 0; r < kRows; ++r)
        for (int p = 0; p < kPanels; ++p) products[r][p] = Simd::begin_chunk(dots[r][p]);
      const auto multiply = [&](const typename Simd::Codes(&codes)[kPanels], const char* quads) {
        for (int r = 0; r < kRows; ++r) {
          const typename Simd::Inputs quad = Simd::load_quad(quads + r * kStepBytesX);
          for (int p = 0; p < kPanels; ++p)
            products[r][p] = Simd::multiply_add(products[r][p], codes[p], quad);
        }
      };
      for (int64_t step = 0; step < kUint4ChunkSteps; ++step) {
        if (prefetch != nullptr) {
          ask_for(prefetch, tile.w_stride);
          prefetch += tile.prefetch_step;
        }
        typename Simd::Codes codes[kPanels], half[kPanels];
        for (int p = 0; p < kPanels; ++p) {
          codes[p] = Simd::load_codes(w + p * tile.w_stride);
          half[p] = Simd::low_codes(codes[p]);
        }
        multiply(half, x);
        for (int p = 0; p < kPanels; ++p) half[p] = Simd::high_codes(codes[p]);
        multiply(half, x + kQuadBytes);
        w += kStepBytes;
        x += 2 * kQuadBytes;
      }
      for (int r = 0; r < kRows; ++r)
        for (int p = 0; p < kPanels; ++p) dots[r][p] = Simd::end_chunk(dots[r][p], products[r][p]);
    }
    if (scale_prefetch != nullptr) {
      ask_for(scale_prefetch, scale_stride);
      scale_prefetch += scale_bytes;
    }
    for (int p = 0; p < kPanels; ++p) {
      const typename Simd::F scale = load_scales<Simd>(scales + p * scale_stride, tile.scale_type);
      for (int r = 0; r < kRows; ++r) add(r, p, Simd::int_to_fp32(dots[r][p]), scale, g == 0);
    }
    scales += scale_bytes;
  }

  for (int r = 0; r < kRows; ++r) {
    const typename Simd::F x_scale = Simd::set1(tile.x_scales[r * tile.x_scale_stride]);
    for (int p = 0; p < kPanels; ++p) {
      float* const sum = tile.sums + r * kUint4SumsStride + p * kPanelWidth;
      Simd::store(sum, Simd::mul(kHoldsSums ? sums[r][p] : Simd::load(sum), x_scale));
    }
  }
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

/// Tiles of up to kRows over one panel, or of up to kPairRows over two and over a last one alone;
/// the tables' other entries stay null.
template <typename Simd, int kRows, int kPairRows = 0>
constexpr Uint4Micro make_uint4_micro(void (*pack_rows)(const Uint4Rows&) = pack_uint4_rows) {
  Uint4Micro micro{.max_rows = kRows,
                   .max_pair_rows = kPairRows,
                   .tiles = {},
                   .pair_tiles = {},
                   .pack_rows = pack_rows,
                   .store = store_tile<Fp32Sums>};
  [&]<int... i>(std::integer_sequence<int, i...>) {
    ((micro.tiles[i] = run_uint4_tile<Simd, i + 1, 1>), ...);
  }
  (std::make_integer_sequence<int, (kRows > kPairRows ? kRows : kPairRows)>());
  [&]<int... i>(std::integer_sequence<int, i...>) {
    ((micro.pair_tiles[i] = run_uint4_tile<Simd, i + 1, 2>), ...);
  }
  (std::make_integer_sequence<int, kPairRows>());
  return micro;
}

}  // namespace
}  // namespace veloz::cpu
