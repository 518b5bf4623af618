// SPDX-License-Identifier: Apache-2.0
#include "cuda/gemm_tile.h"

#include <algorithm>

#include "base/numeric.h"

namespace veloz::cuda {
namespace {

// Fitted to all tiles on 80 shapes on an H200 (bench/cuda_gemm_tiles.cpp): what is chosen is on
// average 0.5 % slower than the best, at worst 11 %. Per clock.
constexpr double kMemoryBytes = 2700;
constexpr double kCacheBytes = 7000;         // out of the second-level cache, all together
constexpr double kMultiprocessorBytes = 98;  // into one multiprocessor
constexpr double kProducts = 4096;           // of fp8 or int8 in one multiprocessor; bf16 half
constexpr double kProductsShare = 0.775;     // that is reached
/// A product of 64 rows takes at least as long as with this many tokens: its rows must be read.
constexpr int kMinTokens = 64;
/// What overlaps imperfectly counts even where something else takes longer.
constexpr double kHiddenShare = 0.37;
/// Of the multiprocessors, what it takes to keep the memory busy.
constexpr double kMultiprocessorsForMemory = 0.31;
/// Of a tile, to begin it and to write it.
constexpr double kTileClocks = 260;
constexpr double kElementsWritten = 8;  // per clock

double clocks(const GemmTile& tile, double tokens, double rows, double row_bytes, int num_sms) {
  const double row_tiles = std::max(1.0, (rows + tile.rows - 1) / tile.rows);
  const int64_t token_tiles = ceil_div(static_cast<int64_t>(tokens), tile.tokens);
  const int64_t num_tiles = static_cast<int64_t>(row_tiles) * token_tiles;
  const int64_t num_turns = ceil_div(num_tiles, num_sms);
  const auto tiles = static_cast<double>(num_tiles);
  const auto turns = static_cast<double>(num_turns);
  const double tile_bytes = (tile.rows + tile.tokens) * row_bytes;
  const double busy = std::min(1.0, tiles / (kMultiprocessorsForMemory * num_sms));
  const double memory = (rows + tokens) * row_bytes / (kMemoryBytes * busy);
  const double cache = tiles * tile_bytes / kCacheBytes;
  const double loads = turns * tile_bytes / kMultiprocessorBytes;
  const double products = turns * tile.rows * std::max(tile.tokens, kMinTokens) * row_bytes /
                          (kProducts * kProductsShare);
  const double sum = memory + cache + loads + products;
  const double longest = std::max({memory, cache, loads, products});
  return longest + kHiddenShare * (sum - longest) +
         turns * (kTileClocks + tile.rows * tile.tokens / kElementsWritten);
}

}  // namespace

GemmTile choose_gemm_tile(int64_t num_tokens, int64_t num_rows, int64_t num_columns, DType dtype,
                          bool is_grouped, int num_multiprocessors) {
  const double row_bytes =
      static_cast<double>(num_columns) * static_cast<double>(dtype_bytes(dtype));
  GemmTile best = kGemmTiles[0];
  double least = -1;
  for (const GemmTile& tile : kGemmTiles) {
    if (!has_gemm_tile(tile, is_grouped)) continue;
    const double time = clocks(tile, static_cast<double>(num_tokens), static_cast<double>(num_rows),
                               row_bytes, num_multiprocessors);
    if (least >= 0 && time >= least) continue;
    least = time;
    best = tile;
  }
  return best;
}

}  // namespace veloz::cuda
