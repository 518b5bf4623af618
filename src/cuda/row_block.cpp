// SPDX-License-Identifier: Apache-2.0
#include "cuda/row_block.h"

#include <algorithm>

#include "base/numeric.h"

namespace veloz::cuda {
namespace {

constexpr int64_t kWarp = 32;
constexpr int64_t kChunkColumns = 8;
constexpr int64_t kMultiprocessors = 132;  // of an H200

ChunkBlocks blocks_of(int64_t num_chunks, int64_t max_threads) {
  const int64_t threads = std::min(round_up(std::max(num_chunks, int64_t{1}), kWarp), max_threads);
  return {static_cast<unsigned>(threads), static_cast<unsigned>(ceil_div(num_chunks, threads))};
}

}  // namespace

RowBlock choose_row_block(int64_t columns, int most) {
  const int64_t num_chunks = ceil_div(columns, kChunkColumns);
  for (const int each : {2, most})
    if (num_chunks <= int64_t{each} * max_row_threads(each))
      return {static_cast<unsigned>(round_up(ceil_div(num_chunks, each), kWarp)), each};
  return {kMaxRowThreads, 0};
}

RowBlock spread_row_block(int64_t columns, int most, int64_t num_rows) {
  const RowBlock block = choose_row_block(columns, most);
  const int64_t threads =
      round_up(ceil_div(ceil_div(columns, kChunkColumns), int64_t{kSpreadChunks}), kWarp);
  const bool is_spread = num_rows <= kMultiprocessors && block.chunks_per_thread > kSpreadChunks &&
                         threads <= kMaxSpreadThreads;
  return is_spread ? RowBlock{static_cast<unsigned>(threads), kSpreadChunks} : block;
}

bool is_register_group(int64_t columns, int64_t group) {
  if (group == columns) return true;
  const int64_t num_chunks = group / kChunkColumns;
  return group % kChunkColumns == 0 && num_chunks <= kWarp && (num_chunks & (num_chunks - 1)) == 0;
}

ChunkBlocks choose_chunk_blocks(int64_t num_chunks) {
  return blocks_of(num_chunks, kMaxChunkThreads);
}

ChunkBlocks spread_chunk_blocks(int64_t num_chunks, int64_t num_rows) {
  int64_t threads = kMaxChunkThreads;
  while (threads > kWarp && num_rows * ceil_div(num_chunks, threads) < kMultiprocessors)
    threads /= 2;
  return blocks_of(num_chunks, threads);
}

}  // namespace veloz::cuda
