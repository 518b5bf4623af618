// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/dtype.h"

/// Tiles of the products of weights [N, K] and activations [T, K], and which one a shape gets. An
/// element's bits do not depend on the tile.
namespace veloz::cuda {

/// What one block computes at a time.
struct GemmTile {
  int rows;    // of the weight
  int tokens;  // of the activations
  bool operator==(const GemmTile&) const = default;
};

// Tiles of 32 rows (half of each product unused) and of 64 by 64 were slower than their neighbours
// on all but one of 80 shapes on an H200 (bench/cuda_gemm_tiles.cpp), and so were pairs of blocks
// that share the copies of their rows (a cluster of two 256 by 128: 0.6 to 0.74 of the speed).
constexpr GemmTile kGemmTiles[] = {{64, 8},   {64, 16},   {64, 32},  {128, 16}, {128, 32},
                                   {128, 64}, {128, 128}, {256, 64}, {256, 128}};

/// Groups of scales take registers: there is no room for their largest tiles.
constexpr bool has_gemm_tile(const GemmTile& tile, bool is_grouped) {
  return !is_grouped || tile.rows < 256;
}

/// The tile with the least estimated time for T tokens, N rows of the weight and K columns on a GPU
/// of `num_multiprocessors`.
GemmTile choose_gemm_tile(int64_t num_tokens, int64_t num_rows, int64_t num_columns, DType dtype,
                          bool is_grouped, int num_multiprocessors);

}  // namespace veloz::cuda
