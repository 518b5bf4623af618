// SPDX-License-Identifier: Apache-2.0
#include "cuda/attention_plan.h"

#include <gtest/gtest.h>

#include <vector>

#include "ops/attrs.h"

namespace veloz::cuda {
namespace {

struct PlanCase {
  int64_t num_seqs = 1;
  int64_t max_kv_len = 4096;
  int64_t num_heads = 64;
  int64_t num_kv_heads = 8;
  int64_t head_dim = 128;
  int64_t num_tokens = 0;  // 0: one of each sequence
};
/// Heads that share no keys, as GPT-J's.
PlanCase multi_head(int64_t num_seqs, int64_t max_kv_len = 2048) {
  return {.num_seqs = num_seqs,
          .max_kv_len = max_kv_len,
          .num_heads = 16,
          .num_kv_heads = 16,
          .head_dim = 256};
}

template <typename F>
auto with_call(const PlanCase& c, const F& f) {
  constexpr int64_t kBlockSize = 64;
  const ops::Attrs attrs{{"num_heads", c.num_heads},
                         {"num_kv_heads", c.num_kv_heads},
                         {"head_dim", c.head_dim},
                         {"scale", 0.1}};
  const TensorView rows(nullptr, DType::bf16,
                        {c.num_tokens == 0 ? c.num_seqs : c.num_tokens, c.num_heads * c.head_dim});
  const TensorView cache(nullptr, DType::bf16, {8, 2, c.num_kv_heads, kBlockSize, c.head_dim});
  const TensorView lens(nullptr, DType::int32, {c.num_seqs});
  const TensorView tables(nullptr, DType::int32, {c.num_seqs, c.max_kv_len / kBlockSize});
  const std::vector<TensorView> inputs = {rows, cache, lens, lens, lens, tables};
  const std::vector<TensorView> outputs = {rows};
  return f(ops::OpCall{.inputs = inputs, .outputs = outputs, .attrs = attrs});
}
DecodePlan plan_of(const PlanCase& c) {
  return with_call(
      c, [](const ops::OpCall& call) { return plan_decode(ops::PagedAttentionArgs::from(call)); });
}
size_t workspace_of(const PlanCase& c) {
  return with_call(
      c, [](const ops::OpCall& call) { return paged_attention_workspace_bytes(call, 1); });
}

TEST(AttentionPlan, SplitsALongSequenceByLeavesAndALargeBatchNotAtAll) {
  EXPECT_EQ(plan_of({.num_seqs = 1, .max_kv_len = 8192}).num_splits, 16);
  EXPECT_EQ(plan_of({.num_seqs = 32}).num_splits, 4);
  EXPECT_EQ(plan_of({.num_seqs = 128}).num_splits, 1);
}

/// Thread blocks of a cluster for leaves and for each of them; none without clusters.
std::vector<int64_t> cluster_of(const PlanCase& c) {
  const DecodePlan plan = plan_of(c);
  if (!plan.cluster) return {};
  EXPECT_EQ(plan.num_splits, 1);
  EXPECT_EQ(plan.partial_bytes, 0u);
  return {plan.cluster->num_slots, plan.cluster->blocks_per_leaf};
}

TEST(AttentionPlan, GivesTheLeavesOfFewSequencesToAClusterEach) {
  using Cluster = std::vector<int64_t>;
  EXPECT_EQ(cluster_of({.num_seqs = 1, .max_kv_len = 512}), (Cluster{1, 4}));
  EXPECT_EQ(cluster_of({.num_seqs = 1, .max_kv_len = 1024}), (Cluster{2, 4}));
  EXPECT_EQ(cluster_of({.num_seqs = 1, .max_kv_len = 2048}), (Cluster{4, 2}));
  EXPECT_EQ(cluster_of({.num_seqs = 1, .max_kv_len = 1088}), (Cluster{4, 2}));
  EXPECT_EQ(cluster_of({.num_seqs = 2, .max_kv_len = 1024}), (Cluster{2, 2}));
  EXPECT_EQ(cluster_of({.num_seqs = 4, .max_kv_len = 1024}), (Cluster{2, 1}));
  EXPECT_EQ(cluster_of({.num_seqs = 8, .max_kv_len = 1024}), (Cluster{2, 1}));
  EXPECT_EQ(cluster_of({.num_seqs = 9, .max_kv_len = 1024}), (Cluster{}));
}

TEST(AttentionPlan, GivesALeafToAsManyThreadBlocksAsItsBytesTake) {
  const auto fits = [](int64_t row_bytes) {
    return std::vector<bool>{fits_leaf(row_bytes, 1), fits_leaf(row_bytes, 2),
                             fits_leaf(row_bytes, 4)};
  };
  EXPECT_EQ(fits(64), (std::vector<bool>{true, true, false}));
  EXPECT_EQ(fits(128), (std::vector<bool>{true, true, true}));
  EXPECT_EQ(fits(256), (std::vector<bool>{true, true, true}));
  EXPECT_EQ(fits(512), (std::vector<bool>{false, true, true}));
}

TEST(AttentionPlan, HasNoClusterForMoreLeavesThanItMayHaveThreadBlocks) {
  EXPECT_EQ(cluster_of({.num_seqs = 1, .max_kv_len = 4096}), (std::vector<int64_t>{8, 1}));
  EXPECT_EQ(cluster_of({.num_seqs = 1, .max_kv_len = 4160}), (std::vector<int64_t>{}));
}

TEST(AttentionPlan, NeedsNoPartialResultsWithoutSplits) {
  EXPECT_EQ(plan_of({.num_seqs = 128}).partial_bytes, 0u);
  EXPECT_EQ(workspace_of({.num_seqs = 128, .max_kv_len = 512}), 0u);
}

TEST(AttentionPlan, TakesNeighboursTogetherWhereEnoughThreadBlocksRemain) {
  EXPECT_EQ(plan_of(multi_head(256)).seqs_per_block, 4);
  EXPECT_EQ(plan_of(multi_head(256)).num_units, 64 * 16);
  EXPECT_EQ(plan_of(multi_head(256)).num_splits, 1);
  EXPECT_EQ(plan_of(multi_head(64, 512)).seqs_per_block, 2);
  EXPECT_EQ(plan_of(multi_head(32, 512)).seqs_per_block, 1);
  EXPECT_EQ(plan_of(multi_head(4)).seqs_per_block, 1);
  EXPECT_EQ(plan_of(multi_head(1, 131072)).seqs_per_block, 1);
  EXPECT_EQ(plan_of(multi_head(3, 131072)).seqs_per_block, 2);
}

TEST(AttentionPlan, SplitsWhatNeighboursShareToo) {
  const DecodePlan plan = plan_of(multi_head(62));
  EXPECT_EQ(plan.seqs_per_block, 4);
  EXPECT_EQ(plan.num_units, 16 * 16);
  EXPECT_EQ(plan.num_splits, 4);
}

TEST(AttentionPlan, TakesGroupsOfHeadsTogetherOnlyWithoutSplits) {
  EXPECT_EQ(plan_of({.num_seqs = 128, .num_heads = 32}).seqs_per_block, 1);
  EXPECT_EQ(plan_of({.num_seqs = 256, .num_heads = 32}).seqs_per_block, 2);
  EXPECT_EQ(plan_of({.num_seqs = 1024, .num_heads = 32}).seqs_per_block, 4);
}

TEST(AttentionPlan, TakesSequencesAloneWhoseRowsAreMany) {
  EXPECT_EQ(plan_of({.num_seqs = 1024}).seqs_per_block, 1);  // 8 heads of a group
  PlanCase some_prefill = multi_head(256);
  some_prefill.num_tokens = 257;
  EXPECT_EQ(plan_of(some_prefill).seqs_per_block, 1);
}

TEST(AttentionPlan, HasWorkspaceForEverySmallerStep) {
  for (const int64_t heads : {8, 64, 640})
    for (const int64_t max_kv_len : {512, 1024, 8192, 131072}) {
      size_t before = 0;
      for (int64_t num_seqs = 1; num_seqs <= 1024; ++num_seqs) {
        const PlanCase c{.num_seqs = num_seqs, .max_kv_len = max_kv_len, .num_heads = heads};
        const size_t bytes = workspace_of(c);
        EXPECT_GE(bytes, before);
        EXPECT_GE(bytes, plan_of(c).partial_bytes);
        before = bytes;
      }
    }
}

TEST(AttentionPlan, TakesASequenceForShortWhileItsRowsFitOneProduct) {
  EXPECT_TRUE(is_short_sequence(1, 64));
  EXPECT_TRUE(is_short_sequence(2, 8));
  EXPECT_FALSE(is_short_sequence(3, 8));
}

}  // namespace
}  // namespace veloz::cuda
