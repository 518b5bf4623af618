// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "ops/attention.h"
#include "ops/kernel.h"

/// What the attention kernels decide before they are launched, from shapes alone: lengths lie on
/// the device.
namespace veloz::cuda {

// The tree of reduction, the same for every kernel of a (q dtype, cache dtype, head_dim): tiles in
// order within a leaf, each with its softmax rescaled; leaves folded in order.
inline constexpr int kTilePositions = 64;
inline constexpr int kLeafPositions = 512;
inline constexpr int kLeafTiles = kLeafPositions / kTilePositions;

inline constexpr int kRowBlock = 16;  // rows of one product of the tensor cores

/// Rows of one sequence and kv head are (token, head of the group), heads first. A short sequence,
/// one that decodes, is split over its positions; a long one over its rows.
constexpr bool is_short_sequence(int q_len, int group) {
  return q_len == 1 || q_len * group <= kRowBlock;
}

/// Neighbours in the batch that one thread block may take, so that it reads a block which they
/// share once: beams of a request share its prompt's blocks, requests with a cached prefix the
/// prefix's.
inline constexpr int kMaxSharingSeqs = 4;

/// All leaves of a unit at once, by a cluster of thread blocks that fold them themselves: what a
/// step of few sequences waits for is latency, of a leaf's tiles one after another and of a second
/// kernel that folds.
struct LeafCluster {
  int64_t num_slots = 1;  // for leaves, a power of two
  // Each with a share of K's tiles and of V's columns; more where a sequence leaves slots empty.
  int64_t blocks_per_leaf = 1;
};
inline constexpr int kMaxClusterBlocks = 8;  // on any GPU of this architecture

/// Whether so many thread blocks can take a leaf: its K, and V in rows of two chunks or more.
constexpr bool fits_leaf(int64_t row_bytes, int64_t blocks_per_leaf) {
  constexpr int64_t kMaxKeyBytes = int64_t{128} << 10;
  return row_bytes >= 32 * blocks_per_leaf &&
         kLeafPositions * row_bytes <= kMaxKeyBytes * blocks_per_leaf;
}

/// Whether there can be such a cluster. A thread block that was launched outside of clusters cannot
/// send, not even to itself: one alone is none.
constexpr bool is_possible(const LeafCluster& cluster, int64_t row_bytes) {
  const int64_t blocks = cluster.num_slots * cluster.blocks_per_leaf;
  return blocks > 1 && blocks <= kMaxClusterBlocks && fits_leaf(row_bytes, cluster.blocks_per_leaf);
}

/// How the sequences of a step that decode are split over thread blocks.
struct DecodePlan {
  int64_t row_blocks = 1;      // of one kv head
  int64_t num_leaves = 1;      // that a block table has room for
  int64_t seqs_per_block = 1;  // up to kMaxSharingSeqs; above 1 all have one token, one row block
  int64_t num_units = 0;       // (sequences of a thread block, kv head and row block)
  int64_t num_splits = 1;      // thread block i of a unit takes leaves i, i + num_splits, ...
  size_t partial_bytes = 0;    // of the leaves' results, where they are folded by another kernel
  std::optional<LeafCluster> cluster = {};  // of a unit, instead of its splits
};
DecodePlan plan_decode(const ops::PagedAttentionArgs& args);
/// With that many sequences for a thread block and, where that many pay, splits.
DecodePlan plan_decode(const ops::PagedAttentionArgs& args, int64_t seqs_per_block,
                       int64_t max_splits);
/// With a cluster for each unit and so many thread blocks for a leaf, where that is possible.
std::optional<DecodePlan> plan_clusters(const ops::PagedAttentionArgs& args,
                                        int64_t blocks_per_leaf);

/// Of paged_attention, monotone.
size_t paged_attention_workspace_bytes(const ops::OpCall& call, int num_threads);

bool accepts_paged_attention(const ops::KernelQuery& query);

}  // namespace veloz::cuda
