// SPDX-License-Identifier: Apache-2.0
#include "cuda/row_block.h"

#include <gtest/gtest.h>

namespace veloz::cuda {
namespace {

TEST(RowBlock, CoversTheRowWithWholeWarps) {
  for (const int most : {2, 4, 10})
    for (int64_t columns = 1; columns < 70000; columns += columns < 600 ? 1 : 173) {
      const RowBlock block = choose_row_block(columns, most);
      EXPECT_EQ(block.threads % 32, 0u);
      EXPECT_GE(block.threads, 32u);
      EXPECT_LE(block.threads, static_cast<unsigned>(kMaxRowThreads));
      if (block.chunks_per_thread == 0)
        EXPECT_GT(columns, int64_t{max_row_threads(most)} * most * 8);
      else
        EXPECT_GE(int64_t{block.threads} * block.chunks_per_thread * 8, columns);
    }
}

TEST(RowBlock, HoldsTheRowsOfLargeModelsInRegisters) {
  EXPECT_EQ(choose_row_block(8192, 4).chunks_per_thread, 2);
  EXPECT_EQ(choose_row_block(16384, 4).chunks_per_thread, 4);
  EXPECT_EQ(choose_row_block(28672, 10).chunks_per_thread, 10);
  EXPECT_EQ(choose_row_block(29568, 10).chunks_per_thread, 10);
}

TEST(RowBlock, HasMoreThreadsWhereRowsAreFew) {
  const RowBlock few = spread_row_block(28672, 10, 132);
  EXPECT_EQ(few.threads, 896u);
  EXPECT_EQ(few.chunks_per_thread, 4);
  EXPECT_EQ(spread_row_block(28672, 10, 133).chunks_per_thread, 10);
  EXPECT_EQ(spread_row_block(8192, 10, 1).chunks_per_thread, 2);
  EXPECT_EQ(spread_row_block(32768 + 8, 10, 1).chunks_per_thread, 0) << "no room in registers";
}

TEST(RowBlock, GroupsAreReducedInsideAWarpOrOverTheWholeRow) {
  for (const int64_t group : {8, 16, 32, 64, 128, 256}) EXPECT_TRUE(is_register_group(3072, group));
  for (const int64_t group : {1, 3, 12, 24, 48, 96, 512})
    EXPECT_FALSE(is_register_group(3072, group));
  EXPECT_TRUE(is_register_group(3072, 3072));
}

TEST(ChunkBlocks, SpreadFewRowsOverTheMultiprocessors) {
  for (const int64_t num_rows : {1, 2, 8, 64, 4096})
    for (int64_t num_chunks = 1; num_chunks < 3000; num_chunks += 7) {
      const ChunkBlocks blocks = spread_chunk_blocks(num_chunks, num_rows);
      const ChunkBlocks most = choose_chunk_blocks(num_chunks);
      EXPECT_EQ(blocks.threads % 32, 0u);
      EXPECT_GE(int64_t{blocks.threads} * blocks.parts, num_chunks);
      EXPECT_LT(int64_t{blocks.threads} * (blocks.parts - 1), num_chunks);
      EXPECT_LE(blocks.threads, most.threads);
      if (num_rows == 4096) {
        EXPECT_EQ(blocks.threads, most.threads);
      }
    }
  EXPECT_EQ(spread_chunk_blocks(640, 1).parts, 20u);
}

TEST(ChunkBlocks, CoverTheRowWithoutAnIdleBlock) {
  for (int64_t num_chunks = 1; num_chunks < 3000; ++num_chunks) {
    const ChunkBlocks blocks = choose_chunk_blocks(num_chunks);
    EXPECT_EQ(blocks.threads % 32, 0u);
    EXPECT_GE(int64_t{blocks.threads} * blocks.parts, num_chunks);
    EXPECT_LT(int64_t{blocks.threads} * (blocks.parts - 1), num_chunks);
  }
}

}  // namespace
}  // namespace veloz::cuda
