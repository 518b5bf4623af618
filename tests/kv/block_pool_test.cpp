// SPDX-License-Identifier: Apache-2.0
#include "kv/block_pool.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace veloz::kv {
namespace {

TEST(BlockPool, GivesEachBlockOnceAndThenSaysNo) {
  BlockPool pool(3);
  std::vector<BlockHold> holds;
  std::vector<bool> seen(3, false);
  while (auto hold = pool.try_allocate()) {
    const auto i = static_cast<size_t>(hold->id());
    ASSERT_LT(i, seen.size());
    EXPECT_FALSE(seen[i]) << "block " << i << " was given twice";
    seen[i] = true;
    holds.push_back(std::move(*hold));
    pool.check_invariants();
  }
  EXPECT_EQ(holds.size(), 3u);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_EQ(pool.num_held(), 3);
}

TEST(BlockPool, TakesABlockBackWhenItsHoldEnds) {
  BlockPool pool(2);
  { const auto hold = pool.try_allocate(); }
  EXPECT_EQ(pool.num_free(), 2);
  pool.check_invariants();
}

TEST(BlockPool, ReleasingASharedBlockKeepsItForItsOtherHolder) {
  BlockPool pool(1);
  auto first = pool.try_allocate();
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(first->is_shared());
  {
    const BlockHold second = first->share();
    EXPECT_TRUE(first->is_shared());
    EXPECT_EQ(second.id(), first->id());
  }
  EXPECT_FALSE(first->is_shared());
  EXPECT_EQ(pool.num_held(), 1);
  first.reset();
  EXPECT_EQ(pool.num_free(), 1);
}

TEST(BlockPool, MovingAHoldNeitherCountsNorReleases) {
  BlockPool pool(2);
  BlockHold a = *pool.try_allocate();
  BlockHold b = *pool.try_allocate();
  const BlockId kept = b.id();
  a = std::move(b);
  BlockHold c = std::move(a);
  EXPECT_EQ(c.id(), kept);
  EXPECT_EQ(pool.num_holders(kept), 1);
  pool.check_invariants();
}

TEST(BlockPool, RefusesToBeEmpty) { EXPECT_THROW(BlockPool(0), Error); }

}  // namespace
}  // namespace veloz::kv
