// SPDX-License-Identifier: Apache-2.0
#include "kv/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"

namespace veloz::kv {
namespace {

constexpr int64_t kBlockSize = 4;

std::vector<int32_t> counting(int32_t first, size_t count) {
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

/// A table over `tokens`, all computed and entered.
BlockTable entered(BlockPool& pool, PrefixCache& cache, const std::vector<int32_t>& tokens,
                   const std::string& salt = "") {
  BlockTable table = cache.find(tokens, salt);
  std::vector<BlockCopy> copies;
  const int64_t num_found = table.num_blocks();
  EXPECT_TRUE(table.try_extend(std::ssize(tokens) - table.num_positions(), copies));
  cache.enter(table, tokens, salt, num_found);
  cache.check_invariants();
  pool.check_invariants();
  return table;
}

TEST(PrefixCache, FindsTheFullBlocksThatTokensBeginWith) {
  BlockPool pool(16);
  PrefixCache cache(pool, kBlockSize);
  const BlockTable table = entered(pool, cache, counting(0, 11));
  EXPECT_EQ(cache.find(counting(0, 11), "").num_blocks(), 2);
  EXPECT_EQ(cache.find(counting(0, 8), "").num_blocks(), 2);
  EXPECT_EQ(cache.find(counting(0, 7), "").num_blocks(), 1);
  EXPECT_EQ(cache.find(counting(0, 3), "").num_blocks(), 0);
  const BlockTable found = cache.find(counting(0, 30), "");
  EXPECT_EQ(found.num_positions(), 8);
  EXPECT_EQ(found.block(0), table.block(0));
  EXPECT_EQ(found.block(1), table.block(1));
}

TEST(PrefixCache, TheSameTokensBehindOthersAreAnotherBlock) {
  BlockPool pool(16);
  PrefixCache cache(pool, kBlockSize);
  const BlockTable table = entered(pool, cache, counting(0, 8));
  EXPECT_EQ(cache.find(counting(4, 4), "").num_blocks(), 0);
  std::vector<int32_t> tokens = counting(1, 4);
  tokens.insert(tokens.end(), {4, 5, 6, 7});
  EXPECT_EQ(cache.find(tokens, "").num_blocks(), 0);
}

TEST(PrefixCache, SharesWithinOneSaltOnly) {
  BlockPool pool(16);
  PrefixCache cache(pool, kBlockSize);
  const BlockTable table = entered(pool, cache, counting(0, 8), "alice");
  EXPECT_EQ(cache.find(counting(0, 8), "alice").num_blocks(), 2);
  EXPECT_EQ(cache.find(counting(0, 8), "bob").num_blocks(), 0);
  EXPECT_EQ(cache.find(counting(0, 8), "").num_blocks(), 0);
}

TEST(PrefixCache, OneEqualBlockIsEnough) {
  BlockPool pool(16);
  PrefixCache cache(pool, kBlockSize);
  std::vector<BlockCopy> copies;
  BlockTable first(pool, kBlockSize);
  BlockTable second(pool, kBlockSize);
  ASSERT_TRUE(first.try_extend(9, copies) && second.try_extend(9, copies));
  EXPECT_EQ(pool.num_held(), 6);
  EXPECT_EQ(cache.enter(first, counting(0, 9), "", 0), 2);
  EXPECT_EQ(cache.enter(second, counting(0, 9), "", 0), 2);
  EXPECT_EQ(second.block(1), first.block(1));
  EXPECT_NE(second.block(2), first.block(2));
  EXPECT_EQ(pool.num_held(), 4);
  cache.check_invariants();
}

TEST(PrefixCache, UnreferencedBlocksAreFreeAndStillFound) {
  BlockPool pool(4);
  PrefixCache cache(pool, kBlockSize);
  { const BlockTable table = entered(pool, cache, counting(0, 8)); }
  EXPECT_EQ(pool.num_free(), 4);
  EXPECT_EQ(cache.find(counting(0, 8), "").num_blocks(), 2);
  EXPECT_EQ(pool.num_free(), 4);
}

TEST(PrefixCache, EvictsTheLeastRecentlyUsedFromItsEnd) {
  BlockPool pool(4);
  PrefixCache cache(pool, kBlockSize);
  { const BlockTable table = entered(pool, cache, counting(0, 8)); }
  { const BlockTable table = entered(pool, cache, counting(100, 8)); }
  { const BlockTable used_again = cache.find(counting(0, 8), ""); }
  std::vector<BlockCopy> copies;
  BlockTable newcomer(pool, kBlockSize);
  ASSERT_TRUE(newcomer.try_extend(4, copies));
  EXPECT_EQ(cache.find(counting(0, 8), "").num_blocks(), 2);
  EXPECT_EQ(cache.find(counting(100, 8), "").num_blocks(), 1);
  ASSERT_TRUE(newcomer.try_extend(12, copies));
  EXPECT_EQ(cache.num_entries(), 0);
}

TEST(PrefixCache, ForgetsNothingThatIsHeld) {
  BlockPool pool(3);
  PrefixCache cache(pool, kBlockSize);
  const BlockTable table = entered(pool, cache, counting(0, 8));
  std::vector<BlockCopy> copies;
  BlockTable other(pool, kBlockSize);
  EXPECT_TRUE(other.try_extend(4, copies));
  EXPECT_FALSE(other.try_extend(1, copies));
  EXPECT_EQ(cache.find(counting(0, 8), "").num_blocks(), 2);
}

// With a hash that tells nothing apart, tokens, parents and salts alone decide.
TEST(PrefixCache, ACollisionNeverHandsOutTheWrongBlock) {
  BlockPool pool(16);
  PrefixCache cache(pool, kBlockSize, [](std::span<const std::byte>) { return uint64_t{7}; });
  const BlockTable table = entered(pool, cache, counting(0, 8));
  EXPECT_EQ(cache.num_entries(), 1);
  EXPECT_EQ(cache.find(counting(0, 8), "").num_blocks(), 1);
  EXPECT_EQ(cache.find(counting(50, 8), "").num_blocks(), 0);
  EXPECT_EQ(cache.find(counting(0, 8), "salt").num_blocks(), 0);
}

TEST(PrefixCache, AHoldOnABlockThatIsNotKeptIsABug) {
  BlockPool pool(2);
  EXPECT_THROW(pool.hold(BlockId{0}), Error);
  EXPECT_THROW(pool.keep(BlockId{0}), Error);
}

/// A sequence, and what each of its blocks must hold.
struct ModelledCache {
  std::vector<int32_t> tokens;
  std::string salt;
  BlockTable table;
  int64_t num_entered = 0;
};

// Random prompts from a small alphabet, so that prefixes meet; forks, growth and ends. A found
// block must hold the tokens, and the blocks before it, that were written when it was entered.
TEST(PrefixCache, FindsOnlyWhatWasWrittenUnderRandomUse) {
  int64_t num_found = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    BlockPool pool(20);
    PrefixCache cache(
        pool, kBlockSize,
        seed % 4 == 0
            ? [](std::span<const std::byte> bytes) { return static_cast<uint64_t>(bytes[0]) % 3; }
            : PrefixCache::Hash(nullptr));
    std::map<BlockId, std::string>
        content;  // of each full block: salt and all tokens up to its end
    std::vector<ModelledCache> sequences;
    const auto text_of = [](const ModelledCache& s, int64_t block) {
      std::string text = s.salt + ":";
      for (int64_t i = 0; i < (block + 1) * kBlockSize; ++i)
        text += std::to_string(s.tokens[static_cast<size_t>(i)]) + " ";
      return text;
    };
    for (int operation = 0; operation < 300; ++operation) {
      const auto choice = random() % 8;
      if (sequences.empty() || choice <= 1) {
        ModelledCache s{{}, random() % 3 == 0 ? "salt" : "", BlockTable(pool, kBlockSize)};
        for (auto n = random() % 24 + 1; n > 0; --n)
          s.tokens.push_back(static_cast<int32_t>(random() % 2));
        s.table = cache.find(s.tokens, s.salt);
        s.num_entered = s.table.num_blocks();
        num_found += s.num_entered;
        for (int64_t b = 0; b < s.table.num_blocks(); ++b)
          ASSERT_EQ(content.at(s.table.block(b)), text_of(s, b));
        sequences.push_back(std::move(s));
      } else if (choice == 2) {
        sequences.erase(sequences.begin() + static_cast<int64_t>(random() % sequences.size()));
      } else if (choice == 3) {
        const ModelledCache& parent = sequences[random() % sequences.size()];
        sequences.push_back({parent.tokens, parent.salt, parent.table.fork(), parent.num_entered});
      } else {
        ModelledCache& s = sequences[random() % sequences.size()];
        const int64_t missing = std::ssize(s.tokens) - s.table.num_positions();
        const int64_t count = std::min<int64_t>(missing, random() % 7);
        std::vector<BlockCopy> copies;
        if (!s.table.try_extend(count, copies)) continue;
        for (int64_t b = s.num_entered; b < s.table.num_positions() / kBlockSize; ++b)
          content[s.table.block(b)] = text_of(s, b);
        s.num_entered = cache.enter(
            s.table, std::span(s.tokens).first(static_cast<size_t>(s.table.num_positions())),
            s.salt, s.num_entered);
        if (missing == count) s.tokens.push_back(static_cast<int32_t>(random() % 2));
      }
      pool.check_invariants();
      cache.check_invariants();
    }
    sequences.clear();
    EXPECT_EQ(pool.num_held(), 0);
  }
  EXPECT_GT(num_found, 300);
}

}  // namespace
}  // namespace veloz::kv
