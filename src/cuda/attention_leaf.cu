// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "cuda/attention_kernels.cuh"
#include "cuda/attention_leaf.cuh"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

template <bool kIsFp8, int kHeadDim, int kTeam>
__device__ inline void run_leaf(const SequenceRows& rows, int first_row, int cluster_bits,
                                const GroupPlace& place) {
  using Shape = LeafShape<kIsFp8, kHeadDim, kTeam>;
  const LeafLoader<Shape::kRowBytes> loader(rows.params, rows.kv_head,
                                            static_cast<int>(blockIdx.x) / kTeam, place);
  LeafThread<kIsFp8, kHeadDim, kTeam> thread(rows, first_row, cluster_bits - kTeam / 2);
  thread.load_keys(loader);
  thread.load_queries();
  thread.template load_values<Shape::kEarlyTiles>(loader, 0);
  if (threadIdx.x == 0) thread.init_barriers();
  __syncwarp();
  arrive_at_cluster();
  thread.find_scores();
  wait_for_cluster();  // all have begun: they can be sent to
  thread.send_maxima();
  if constexpr (Shape::kIsTight)
    thread.template load_values<kLeafTiles - Shape::kEarlyTiles>(loader, Shape::kEarlyTiles);
  thread.send_weights();
  RowState<Shape::kOutTiles> leaf;
  thread.multiply_values_into(leaf);
  thread.send_leaf(leaf);
  thread.fold();
}

/// grid: (leaf and member of its team, kv head and block of its rows, sequence); a row of it is a
/// cluster of 2^cluster_bits. Teams have kLeastTeam members where the block table is full, and more
/// where a sequence is shorter.
template <bool kIsFp8, int kHeadDim, int kLeastTeam>
__global__ void __launch_bounds__(kLeafThreads, 1)
    leaf_attention_kernel(AttentionParams params, int row_blocks, int cluster_bits) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int seq = static_cast<int>(blockIdx.z);
  const int unit_in_seq = static_cast<int>(blockIdx.y);
  const auto place_in_team = [&](int team) {
    return GroupPlace(params, seq, static_cast<int>(blockIdx.x) / team);
  };
  // Before the lengths are known, as latency is what matters here.
  const GroupPlace places[3] = {place_in_team(1), place_in_team(2), place_in_team(4)};
  const SequenceRows rows(params, seq, unit_in_seq / row_blocks);
  const int first_row = unit_in_seq % row_blocks * kRowBlock;
  if (!is_short_sequence(rows.q_len, params.group) || first_row >= rows.count()) return;

  const int num_leaves = (rows.kv_len + kLeafPositions - 1) / kLeafPositions;
  const auto has_room_for = [&](int team) { return num_leaves * team <= 1 << cluster_bits; };
  constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);
  if constexpr (fits_leaf(kRowBytes, 4))
    if (kLeastTeam == 4 || has_room_for(4))
      return run_leaf<kIsFp8, kHeadDim, 4>(rows, first_row, cluster_bits, places[2]);
  if constexpr (kLeastTeam <= 2 && fits_leaf(kRowBytes, 2))
    if (kLeastTeam == 2 || has_room_for(2))
      return run_leaf<kIsFp8, kHeadDim, 2>(rows, first_row, cluster_bits, places[1]);
  if constexpr (kLeastTeam == 1)
    run_leaf<kIsFp8, kHeadDim, 1>(rows, first_row, cluster_bits, places[0]);
}

template <bool kIsFp8, int kHeadDim, int kLeastTeam>
void launch_team(CudaStream& stream, const AttentionParams& params, const DecodePlan& plan) {
  const auto cluster_blocks = static_cast<int>(plan.cluster->num_slots * kLeastTeam);
  const auto row_blocks = static_cast<int>(plan.row_blocks);
  launch(stream, "paged_attention/leaf", leaf_attention_kernel<kIsFp8, kHeadDim, kLeastTeam>,
         {.grid = dim3(static_cast<unsigned>(cluster_blocks),
                       static_cast<unsigned>(params.num_kv_heads * row_blocks),
                       static_cast<unsigned>(params.num_seqs)),
          .block = dim3(kLeafThreads),
          // Larger teams take less.
          .shared_bytes = LeafShape<kIsFp8, kHeadDim, kLeastTeam>::kSharedBytes,
          .cluster_blocks = cluster_blocks},
         params, row_blocks, std::countr_zero(static_cast<unsigned>(cluster_blocks)));
}

template <bool kIsFp8, int kHeadDim>
void launch_shape(CudaStream& stream, const AttentionParams& params, const DecodePlan& plan) {
  constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);
  const auto launch_if_planned = [&]<int kTeam>() {
    if constexpr (fits_leaf(kRowBytes, kTeam))
      if (plan.cluster->blocks_per_leaf == kTeam)
        launch_team<kIsFp8, kHeadDim, kTeam>(stream, params, plan);
  };
  launch_if_planned.template operator()<1>();
  launch_if_planned.template operator()<2>();
  launch_if_planned.template operator()<4>();
}

}  // namespace

template <bool kIsFp8>
void launch_leaf_decode(CudaStream& stream, const AttentionParams& params, int head_dim,
                        const DecodePlan& plan) {
  with_head_dim(head_dim,
                [&]<int kHeadDim>() { launch_shape<kIsFp8, kHeadDim>(stream, params, plan); });
}
template void launch_leaf_decode<false>(CudaStream&, const AttentionParams&, int,
                                        const DecodePlan&);
template void launch_leaf_decode<true>(CudaStream&, const AttentionParams&, int, const DecodePlan&);

}  // namespace veloz::cuda
