// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

/// How rows are dealt to thread blocks. Pure functions: what they give depends on a row's length
/// alone, and so does the order of the sums over it.
namespace veloz::cuda {

inline constexpr int kMaxRowThreads = 512;
/// Of rows that hold many registers a thread: two blocks still fit a multiprocessor.
constexpr int max_row_threads(int chunks_per_thread) {
  return chunks_per_thread > 4 ? 384 : kMaxRowThreads;
}
inline constexpr int kMaxChunkThreads = 256;  // eight blocks fill a multiprocessor

/// A block that has one row to itself: thread i takes chunks i, i + threads, ... of it.
struct RowBlock {
  unsigned threads;
  int chunks_per_thread;  // 2 or `most`, held in registers; 0: more, the row is read again
};
/// `most` chunks are the most of which a thread's registers have room.
RowBlock choose_row_block(int64_t columns, int most);

/// The same in up to kMaxSpreadThreads threads of kSpreadChunks where the rows are few, so that no
/// multiprocessor has a second one: for what does not depend on the order of a sum.
inline constexpr int kSpreadChunks = 4;
inline constexpr int kMaxSpreadThreads = 896;  // with more, 72 registers would not do
RowBlock spread_row_block(int64_t columns, int most, int64_t num_rows);

/// Blocks of a multiprocessor that a kernel with a row of T in registers leaves room for: while one
/// waits for its sum, another's loads are under way.
template <typename T>
constexpr int min_row_blocks(int chunks_per_thread) {
  return sizeof(T) == 2 && chunks_per_thread == 2 ? 3 : 2;
}

/// The kernel of a row in registers: `most` is of bf16 alone.
template <typename Two, typename Most>
Two for_row_block(const RowBlock& block, Two two, Most most) {
  if constexpr (std::is_same_v<Two, Most>) {
    if (block.chunks_per_thread > 2) return most;
  }
  return two;
}

/// Whether the threads of a row that is held in registers can tell the largest number of each
/// group: it is the whole row, or a power of two of chunks inside one warp.
bool is_register_group(int64_t columns, int64_t group);

/// Blocks for chunks that have nothing to do with one another: `parts` of them cover a row.
struct ChunkBlocks {
  unsigned threads;
  unsigned parts;
};
ChunkBlocks choose_chunk_blocks(int64_t num_chunks);
/// The same in smaller blocks where the rows are few, so that more multiprocessors have one.
ChunkBlocks spread_chunk_blocks(int64_t num_chunks, int64_t num_rows);

}  // namespace veloz::cuda
