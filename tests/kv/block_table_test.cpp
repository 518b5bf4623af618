// SPDX-License-Identifier: Apache-2.0
#include "kv/block_table.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>
#include <set>
#include <vector>

namespace veloz::kv {
namespace {

constexpr int64_t kTableBlockSize = 4;

TEST(BlockTable, TakesABlockPerFullBlockOfPositions) {
  BlockPool pool(8);
  BlockTable table(pool, kTableBlockSize);
  std::vector<BlockCopy> copies;
  EXPECT_EQ(table.num_blocks_to_extend(5), 2);
  ASSERT_TRUE(table.try_extend(5, copies));
  EXPECT_EQ(table.num_positions(), 5);
  EXPECT_EQ(table.num_blocks(), 2);
  ASSERT_TRUE(table.try_extend(3, copies));  // fills the second block
  EXPECT_EQ(table.num_blocks(), 2);
  EXPECT_TRUE(copies.empty());
  EXPECT_EQ(pool.num_held(), 2);
}

TEST(BlockTable, PlacesPositionsInTheirBlocks) {
  BlockPool pool(8);
  BlockTable table(pool, kTableBlockSize);
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(table.try_extend(7, copies));
  for (int64_t p = 0; p < 7; ++p)
    EXPECT_EQ(table.slot(p), static_cast<int64_t>(table.block(p / 4)) * 4 + p % 4);
}

TEST(BlockTable, ChangesNothingWhereThePoolIsTooSmall) {
  BlockPool pool(2);
  BlockTable table(pool, kTableBlockSize);
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(table.try_extend(4, copies));
  EXPECT_FALSE(table.try_extend(5, copies));
  EXPECT_EQ(table.num_positions(), 4);
  EXPECT_EQ(pool.num_held(), 1);
}

TEST(BlockTable, GivesAllBlocksBackAtItsEnd) {
  BlockPool pool(8);
  std::vector<BlockCopy> copies;
  {
    BlockTable table(pool, kTableBlockSize);
    ASSERT_TRUE(table.try_extend(30, copies));
    const BlockTable child = table.fork();
    EXPECT_EQ(pool.num_held(), 8);
  }
  EXPECT_EQ(pool.num_held(), 0);
  pool.check_invariants();
}

TEST(BlockTable, AForkSharesEveryBlockUntilOneOfThemWrites) {
  BlockPool pool(8);
  BlockTable parent(pool, kTableBlockSize);
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(parent.try_extend(6, copies));
  BlockTable child = parent.fork();
  EXPECT_EQ(pool.num_held(), 2);

  const BlockId shared_tail = parent.block(1);
  EXPECT_EQ(child.num_blocks_to_extend(1), 1);
  ASSERT_TRUE(child.try_extend(1, copies));
  EXPECT_EQ(copies, (std::vector<BlockCopy>{{shared_tail, child.block(1)}}));
  EXPECT_NE(child.block(1), shared_tail);
  EXPECT_EQ(child.block(0), parent.block(0));

  ASSERT_TRUE(parent.try_extend(1, copies));  // the last holder writes in place
  EXPECT_EQ(parent.block(1), shared_tail);
  EXPECT_EQ(copies.size(), 1u);
}

TEST(BlockTable, AForkAtABlockBoundaryNeedsNoCopy) {
  BlockPool pool(8);
  BlockTable parent(pool, kTableBlockSize);
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(parent.try_extend(8, copies));
  BlockTable child = parent.fork();
  ASSERT_TRUE(child.try_extend(1, copies));
  ASSERT_TRUE(parent.try_extend(1, copies));
  EXPECT_TRUE(copies.empty());
  EXPECT_EQ(pool.num_held(), 4);
}

TEST(BlockTable, ACopyThatDoesNotFitChangesNothing) {
  BlockPool pool(1);
  BlockTable parent(pool, kTableBlockSize);
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(parent.try_extend(2, copies));
  BlockTable child = parent.fork();
  EXPECT_FALSE(child.try_extend(1, copies));
  EXPECT_TRUE(copies.empty());
  EXPECT_EQ(child.block(0), parent.block(0));
}

/// A table beside what its positions should hold, and a cache that copies and writes touch.
struct ModelledTable {
  BlockTable table;
  std::vector<int> written;  // value of each position
};

// Random extends, forks and drops: reading every table back through its slots gives what was
// written to it, whoever shared its blocks; and the pool's books hold.
TEST(BlockTable, ReadsBackWhatWasWrittenUnderRandomForks) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    BlockPool pool(24);
    std::map<int64_t, int> cache;  // slot -> value
    std::vector<ModelledTable> tables;
    int next_value = 0;
    for (int operation = 0; operation < 400; ++operation) {
      const auto choice = random() % 10;
      if (tables.empty() || choice == 0) {
        tables.push_back({BlockTable(pool, kTableBlockSize), {}});
      } else if (choice == 1) {
        tables.erase(tables.begin() + static_cast<int64_t>(random() % tables.size()));
      } else if (choice <= 3) {
        const ModelledTable& parent = tables[random() % tables.size()];
        tables.push_back({parent.table.fork(), parent.written});
      } else {
        ModelledTable& t = tables[random() % tables.size()];
        const auto count = static_cast<int64_t>(random() % 6);
        const int64_t needed = t.table.num_blocks_to_extend(count);
        const int64_t free_before = pool.num_free();
        std::vector<BlockCopy> copies;
        const bool extended = t.table.try_extend(count, copies);
        ASSERT_EQ(extended, needed <= free_before);
        if (!extended) continue;
        ASSERT_EQ(pool.num_free(), free_before - needed);
        for (const BlockCopy& copy : copies)
          for (int64_t i = 0; i < kTableBlockSize; ++i)
            cache[static_cast<int64_t>(copy.to) * kTableBlockSize + i] =
                cache[static_cast<int64_t>(copy.from) * kTableBlockSize + i];
        for (int64_t i = 0; i < count; ++i) {
          cache[t.table.slot(static_cast<int64_t>(t.written.size()))] = next_value;
          t.written.push_back(next_value++);
        }
      }
      pool.check_invariants();
      for (const ModelledTable& t : tables)
        for (size_t p = 0; p < t.written.size(); ++p)
          ASSERT_EQ(cache[t.table.slot(static_cast<int64_t>(p))], t.written[p]);
    }
    tables.clear();
    EXPECT_EQ(pool.num_held(), 0);
  }
}

}  // namespace
}  // namespace veloz::kv
