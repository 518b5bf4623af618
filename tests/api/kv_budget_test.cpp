// SPDX-License-Identifier: Apache-2.0
#include "api/kv_budget.h"

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "runtime/session.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"
#include "support/tiny_engine.h"

namespace veloz::api {
namespace {

constexpr int64_t kBlocksOfSequence = 8;  // 32 positions in blocks of 4
constexpr int64_t kNumSeqs = 4;

/// How many blocks a cache has where so much memory is free that it would hold `num_free_blocks`.
int64_t blocks_of(int64_t num_free_blocks, KvCacheSize size) {
  const engine::Plan plan = test::tiny_model().plan;
  const auto block_bytes = static_cast<uint64_t>(runtime::kv_block_bytes(plan));
  return count_kv_blocks(plan,
                         {.max_num_seqs = kNumSeqs,
                          .size = size,
                          .free_bytes = static_cast<uint64_t>(num_free_blocks) * block_bytes});
}

TEST(KvBudget, OfSequencesIsWhatTheyNeedAtMostHalfOfFreeMemory) {
  constexpr int64_t kNeeded = kNumSeqs * kBlocksOfSequence;
  EXPECT_EQ(blocks_of(1000, KvCacheSize::of_sequences), kNeeded);
  EXPECT_EQ(blocks_of(2 * kNeeded, KvCacheSize::of_sequences), kNeeded);
  EXPECT_EQ(blocks_of(2 * kNeeded - 2, KvCacheSize::of_sequences), kNeeded - 1);
  EXPECT_EQ(blocks_of(20, KvCacheSize::of_sequences), 10);
  EXPECT_EQ(blocks_of(0, KvCacheSize::of_sequences), 0);
}

TEST(KvBudget, OfFreeMemoryIsFourTimesThatAtMostFourFifths) {
  constexpr int64_t kMost = 4 * kNumSeqs * kBlocksOfSequence;
  EXPECT_EQ(blocks_of(1000, KvCacheSize::of_free_memory), kMost);
  EXPECT_EQ(blocks_of(160, KvCacheSize::of_free_memory), kMost);
  EXPECT_EQ(blocks_of(155, KvCacheSize::of_free_memory), 124);
  EXPECT_EQ(blocks_of(20, KvCacheSize::of_free_memory), 16);
  EXPECT_EQ(blocks_of(0, KvCacheSize::of_free_memory), 0);
}

TEST(KvBudget, BytesThatAreGivenCountAlone) {
  const engine::Plan plan = test::tiny_model().plan;
  const auto block_bytes = static_cast<uint64_t>(runtime::kv_block_bytes(plan));
  EXPECT_EQ(choose_num_kv_blocks(plan, {.max_num_seqs = 1, .memory_bytes = block_bytes * 70 - 1}),
            69);
}

TEST(KvBudget, LessThanASequenceIsRefusedWithTheArithmetic) {
  const engine::Plan plan = test::tiny_model().plan;
  const auto block_bytes = static_cast<uint64_t>(runtime::kv_block_bytes(plan));
  EXPECT_TRUE(test::throws_error(
      ErrorKind::out_of_memory, {"holds 7 blocks, one sequence of 32 positions needs 8"}, [&] {
        choose_num_kv_blocks(plan, {.max_num_seqs = kNumSeqs, .free_bytes = block_bytes * 14});
      }));
}

TEST(KvBudget, WeightsComeFirst) {
  const test::TempDirectory directory;
  const test::TinyModel model = test::tiny_model();
  test::write_tiny_engine(directory.path() / "engine", model);
  const auto engine = engine::Engine::open(directory.path() / "engine");
  uint64_t weight_bytes = 0;
  for (const std::vector<float>& values : model.weights) weight_bytes += values.size() * 4;
  EXPECT_EQ(memory_beside_weights(engine, weight_bytes + 1000), 1000u);
  EXPECT_EQ(memory_beside_weights(engine, weight_bytes), 0u);
  EXPECT_EQ(memory_beside_weights(engine, 1), 0u);
}

}  // namespace
}  // namespace veloz::api
