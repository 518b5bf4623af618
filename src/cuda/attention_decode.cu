// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "cuda/attention_decode.cuh"
#include "cuda/attention_kernels.cuh"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

/// grid: (split, kv head and block of its rows, sequence).
template <bool kIsFp8, int kHeadDim>
__global__ void __launch_bounds__(kDecodeThreads, (DecodeShape<kIsFp8, kHeadDim>::kBlocks))
    decode_attention_kernel(AttentionParams params, int row_blocks) {
  using Shape = DecodeShape<kIsFp8, kHeadDim>;
  wait_for_previous_kernel();
  allow_next_kernel();
  const int seq = static_cast<int>(blockIdx.z);
  const int unit_in_seq = static_cast<int>(blockIdx.y);
  const int num_splits = static_cast<int>(gridDim.x);
  const int kv_head = unit_in_seq / row_blocks;
  const int first_leaf = static_cast<int>(blockIdx.x);
  // Before the lengths are known, as latency is what a small batch takes.
  TileLoader<kDecodeThreads, Shape::kRowBytes> loader(params, seq, kv_head);
  loader.fetch_blocks(first_leaf * kLeafTiles);
  const SequenceRows rows(params, seq, kv_head);
  const int kv_len = rows.kv_len;
  const int first_row = unit_in_seq % row_blocks * kRowBlock;
  const int num_tiles = (kv_len + kTilePositions - 1) / kTilePositions;
  const int num_leaves = (kv_len + kLeafPositions - 1) / kLeafPositions;
  if (!is_short_sequence(rows.q_len, params.group) || first_row >= rows.count() ||
      first_leaf >= num_leaves)
    return;
  // Those of a sequence of one leaf write y, as does the only one of a longer one.
  const bool is_direct = num_splits == 1 || num_leaves == 1;
  const int own_leaves = (num_leaves - first_leaf + num_splits - 1) / num_splits;
  const int last_leaf = first_leaf + (own_leaves - 1) * num_splits;
  const int last_tiles = num_tiles - last_leaf * kLeafTiles;
  const int own_tiles =
      (own_leaves - 1) * kLeafTiles + (last_tiles < kLeafTiles ? last_tiles : kLeafTiles);
  const auto tile_at = [&](int i) {
    return (first_leaf + i / kLeafTiles * num_splits) * kLeafTiles + i % kLeafTiles;
  };

  unsigned char* const stages = dynamic_shared();

#pragma unroll
  for (int i = 0; i < Shape::kStages - 1; ++i) {
    if (i < own_tiles) {
      loader.copy(tile_at(i), kv_len, stages + i * Shape::kStageBytes);
      loader.fetch_blocks(tile_at(i + 1));
    }
    commit_copies();
  }

  const DecodeThread<kIsFp8, kHeadDim, SequenceRows> thread(rows, first_row);
  const int num_seen[2] = {rows.num_seen(thread.row(0)), rows.num_seen(thread.row(1))};
  RowState<Shape::kOutTiles> total;
  RowState<Shape::kOutTiles> leaf;
  int stage = 0;
  int free_stage = Shape::kStages - 1;
  for (int i = 0; i < own_tiles; ++i) {
    const int tile = tile_at(i);
    wait_for_copies<Shape::kStages - 2>();
    __syncthreads();
    if (i + Shape::kStages - 1 < own_tiles) {
      loader.copy(tile_at(i + Shape::kStages - 1), kv_len,
                  stages + free_stage * Shape::kStageBytes);
      loader.fetch_blocks(tile_at(i + Shape::kStages));
    }
    commit_copies();
    const unsigned char* const tile_memory = stages + stage * Shape::kStageBytes;
    stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
    free_stage = free_stage + 1 == Shape::kStages ? 0 : free_stage + 1;
    thread.template add_tile<false>(leaf, tile_memory, tile, num_seen);

    if (i % kLeafTiles != kLeafTiles - 1 && i != own_tiles - 1) continue;
    if (is_direct)
      fold_leaf(total, leaf, params.score_scale);
    else
      thread.store_leaf(leaf, static_cast<int64_t>(seq) * gridDim.y + unit_in_seq,
                        tile / kLeafTiles);
    leaf = RowState<Shape::kOutTiles>();
  }
  if (is_direct) thread.store_output(total);
}

/// Folds the leaves of a row in order. grid: (row of a sequence and row block, kv head and row
/// block, sequence); each thread has two columns.
template <int kHeadDim>
__global__ void __launch_bounds__(kHeadDim / 2)
    fold_leaves_kernel(AttentionParams params, int row_blocks, int seqs_per_block) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int seq = static_cast<int>(blockIdx.z);
  const int unit_in_seq = static_cast<int>(blockIdx.y);
  const SequenceRows rows(params, seq, unit_in_seq / row_blocks);
  const int row_of_seq = static_cast<int>(blockIdx.x);
  const int row = unit_in_seq % row_blocks * kRowBlock + row_of_seq;
  const int num_leaves = (rows.kv_len + kLeafPositions - 1) / kLeafPositions;
  const bool is_done = seqs_per_block == 1 && num_leaves <= 1;  // by who computed the leaf
  if (!is_short_sequence(rows.q_len, params.group) || row >= rows.count() || is_done) return;
  const int column = static_cast<int>(threadIdx.x) * 2;
  const int64_t unit = static_cast<int64_t>(seq / seqs_per_block) * gridDim.y + unit_in_seq;
  const int row_of_unit = seq % seqs_per_block * params.group + row_of_seq;
  const int64_t first = unit * params.num_leaves * kRowBlock + row_of_unit;
  PairFold fold(params.score_scale);
#pragma unroll 4
  for (int leaf = 0; leaf < num_leaves; ++leaf) {
    const int64_t at = first + leaf * kRowBlock;
    fold.add(params.partial_sums[at],
             *reinterpret_cast<const float2*>(params.partial_outputs + at * kHeadDim + column));
  }
  *reinterpret_cast<uint32_t*>(rows.output(row, kHeadDim) + column) = fold.output(params.v_scale);
}

template <bool kIsFp8, int kHeadDim>
void launch_shape(CudaStream& stream, const AttentionParams& params, int num_tokens,
                  const DecodePlan& plan) {
  using Shape = DecodeShape<kIsFp8, kHeadDim>;
  const int row_blocks = static_cast<int>(plan.row_blocks);
  const auto units = static_cast<unsigned>(params.num_kv_heads * row_blocks);
  const auto num_seqs = static_cast<unsigned>(params.num_seqs);
  if (plan.seqs_per_block > 1)
    launch_sharing_decode<kIsFp8>(stream, params, kHeadDim, plan);
  else
    launch(stream, "paged_attention/decode", decode_attention_kernel<kIsFp8, kHeadDim>,
           {.grid = dim3(static_cast<unsigned>(plan.num_splits), units, num_seqs),
            .block = dim3(kDecodeThreads),
            .shared_bytes = Shape::kSharedBytes},
           params, row_blocks);
  if (plan.num_splits == 1) return;
  const bool is_one_token_each = num_tokens == params.num_seqs;
  const int max_rows = is_one_token_each && params.group < kRowBlock ? params.group : kRowBlock;
  launch(
      stream, "paged_attention/fold_leaves", fold_leaves_kernel<kHeadDim>,
      {.grid = dim3(static_cast<unsigned>(max_rows), units, num_seqs), .block = dim3(kHeadDim / 2)},
      params, row_blocks, static_cast<int>(plan.seqs_per_block));
}

}  // namespace

template <bool kIsFp8>
void launch_decode(CudaStream& stream, const AttentionParams& params, int head_dim, int num_tokens,
                   const DecodePlan& plan) {
  if (plan.cluster) return launch_leaf_decode<kIsFp8>(stream, params, head_dim, plan);
  with_head_dim(head_dim, [&]<int kHeadDim>() {
    launch_shape<kIsFp8, kHeadDim>(stream, params, num_tokens, plan);
  });
}
template void launch_decode<false>(CudaStream&, const AttentionParams&, int, int,
                                   const DecodePlan&);
template void launch_decode<true>(CudaStream&, const AttentionParams&, int, int, const DecodePlan&);

}  // namespace veloz::cuda
