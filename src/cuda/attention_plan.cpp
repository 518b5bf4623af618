// SPDX-License-Identifier: Apache-2.0
#include "cuda/attention_plan.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/numeric.h"

namespace veloz::cuda {
namespace {

constexpr int64_t kWantedBlocks = 1056;  // eight on each of 132 multiprocessors
// Three on each multiprocessor: with fewer, neighbours that share nothing would wait for each other
// while multiprocessors have nothing to do.
constexpr int64_t kEnoughBlocks = 396;
// One on each multiprocessor, if clusters find room: those of two nearly everywhere, while 128 in
// larger ones took longer than tile after tile on an H200.
constexpr int64_t kMostPairedBlocks = 128;
constexpr int64_t kMostClusteredBlocks = 64;
constexpr int64_t kMaxPartialBytes = int64_t{256} << 20;

int64_t row_blocks_of(const ops::PagedAttentionArgs& args) {
  return ceil_div(args.num_heads / args.num_kv_heads, kRowBlock);
}
int64_t leaves_of(const ops::PagedAttentionArgs& args) {
  return std::max<int64_t>(
      ceil_div(args.block_tables.shape[1] * args.cache.shape[3], kLeafPositions), 1);
}
/// Output, maximum and sum of each row of each leaf, in fp32.
int64_t partial_bytes_of(int64_t num_units, int64_t num_leaves, int64_t head_dim) {
  return num_units * num_leaves * kRowBlock * (head_dim + 2) * static_cast<int64_t>(sizeof(float));
}

}  // namespace

DecodePlan plan_decode(const ops::PagedAttentionArgs& args, int64_t seqs_per_block,
                       int64_t max_splits) {
  DecodePlan plan{.row_blocks = row_blocks_of(args),
                  .num_leaves = leaves_of(args),
                  .seqs_per_block = seqs_per_block};
  plan.num_units =
      ceil_div(args.q_starts.shape[0], seqs_per_block) * args.num_kv_heads * plan.row_blocks;
  if (plan.num_units == 0) return plan;
  const int64_t partial_bytes = partial_bytes_of(plan.num_units, plan.num_leaves, args.head_dim);
  const int64_t num_splits =
      std::min({plan.num_leaves, kWantedBlocks / plan.num_units, max_splits});
  if (num_splits <= 1 || partial_bytes > kMaxPartialBytes) return plan;
  plan.num_splits = num_splits;
  plan.partial_bytes = static_cast<size_t>(partial_bytes);
  return plan;
}

std::optional<DecodePlan> plan_clusters(const ops::PagedAttentionArgs& args,
                                        int64_t blocks_per_leaf) {
  const LeafCluster cluster{
      .num_slots = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(leaves_of(args)))),
      .blocks_per_leaf = blocks_per_leaf};
  const int64_t row_bytes = args.head_dim * static_cast<int64_t>(dtype_bytes(args.cache.dtype));
  if (!is_possible(cluster, row_bytes)) return std::nullopt;
  DecodePlan plan = plan_decode(args, 1, 1);
  plan.cluster = cluster;
  return plan;
}

DecodePlan plan_decode(const ops::PagedAttentionArgs& args) {
  for (const int64_t blocks_per_leaf : {4, 2, 1}) {
    const std::optional<DecodePlan> plan = plan_clusters(args, blocks_per_leaf);
    if (!plan) continue;
    const int64_t cluster_blocks = plan->cluster->num_slots * blocks_per_leaf;
    const int64_t most_blocks = cluster_blocks == 2 ? kMostPairedBlocks : kMostClusteredBlocks;
    if (plan->num_units * cluster_blocks <= most_blocks) return *plan;
  }
  constexpr int64_t kAnySplits = std::numeric_limits<int64_t>::max();
  const int64_t num_seqs = args.q_starts.shape[0];
  const int64_t group = args.num_heads / args.num_kv_heads;
  // A sequence has a token at least.
  const bool is_one_token_each = args.q.shape[0] == num_seqs;
  const bool may_share = is_one_token_each && group * kMaxSharingSeqs <= kRowBlock;
  for (int64_t seqs = kMaxSharingSeqs; may_share && seqs > 1; seqs /= 2) {
    if (seqs > num_seqs) continue;
    const DecodePlan plan = plan_decode(args, seqs, kAnySplits);
    // Where heads share blocks already there is less to win: not enough to pay for splits.
    if (plan.num_units * plan.num_splits >= kEnoughBlocks && (group == 1 || plan.num_splits == 1))
      return plan;
  }
  return plan_decode(args, 1, kAnySplits);
}

size_t paged_attention_workspace_bytes(const ops::OpCall& call, int) {
  const ops::PagedAttentionArgs args = ops::PagedAttentionArgs::from(call);
  const int64_t num_leaves = leaves_of(args);
  if (num_leaves == 1) return 0;
  // A larger batch is not split, a smaller one may be.
  const int64_t num_units =
      std::min(args.q_starts.shape[0] * args.num_kv_heads * row_blocks_of(args), kWantedBlocks / 2);
  return static_cast<size_t>(
      std::min(partial_bytes_of(num_units, num_leaves, args.head_dim), kMaxPartialBytes));
}

bool accepts_paged_attention(const ops::KernelQuery& query) {
  const DType cache = query.inputs[1].dtype;
  const int64_t head_dim = query.attrs.get_int("head_dim");
  const ops::Dim& block_size = query.inputs[1].dims[3];
  return query.inputs[0].dtype == DType::bf16 &&
         (cache == DType::bf16 || cache == DType::fp8_e4m3) &&
         (head_dim == 64 || head_dim == 128 || head_dim == 256) && block_size.is_constant() &&
         block_size.value % 16 == 0;
}

}  // namespace veloz::cuda
