// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "cuda/attention_kernels.cuh"
#include "cuda/attention_leaf.cuh"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

/// grid: (leaf and member of its team, kv head and block of its rows, sequence); a row of it is a
/// cluster, of 2^slot_bits teams.
template <bool kIsFp8, int kHeadDim, int kTeam>
__global__ void __launch_bounds__(kLeafThreads, 1)
    leaf_attention_kernel(AttentionParams params, int row_blocks, int slot_bits) {
  using Shape = LeafShape<kIsFp8, kHeadDim, kTeam>;
  wait_for_previous_kernel();
  allow_next_kernel();
  const int seq = static_cast<int>(blockIdx.z);
  const int unit_in_seq = static_cast<int>(blockIdx.y);
  const int kv_head = unit_in_seq / row_blocks;
  const LeafLoader<Shape::kRowBytes> loader(params, seq, kv_head,
                                            static_cast<int>(blockIdx.x) / kTeam);
  const SequenceRows rows(params, seq, kv_head);
  const int first_row = unit_in_seq % row_blocks * kRowBlock;
  if (!is_short_sequence(rows.q_len, params.group) || first_row >= rows.count()) return;

  LeafThread<kIsFp8, kHeadDim, kTeam> thread(rows, first_row, slot_bits);
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

template <bool kIsFp8, int kHeadDim, int kTeam>
void launch_team(CudaStream& stream, const AttentionParams& params, const DecodePlan& plan) {
  using Shape = LeafShape<kIsFp8, kHeadDim, kTeam>;
  const auto cluster_blocks = static_cast<int>(plan.cluster->num_slots * kTeam);
  const auto row_blocks = static_cast<int>(plan.row_blocks);
  launch(stream, "paged_attention/leaf", leaf_attention_kernel<kIsFp8, kHeadDim, kTeam>,
         {.grid = dim3(static_cast<unsigned>(cluster_blocks),
                       static_cast<unsigned>(params.num_kv_heads * row_blocks),
                       static_cast<unsigned>(params.num_seqs)),
          .block = dim3(kLeafThreads),
          .shared_bytes = Shape::kSharedBytes,
          .cluster_blocks = cluster_blocks},
         params, row_blocks, std::countr_zero(static_cast<unsigned>(plan.cluster->num_slots)));
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
  if (head_dim == 64)
    launch_shape<kIsFp8, 64>(stream, params, plan);
  else if (head_dim == 128)
    launch_shape<kIsFp8, 128>(stream, params, plan);
  else
    launch_shape<kIsFp8, 256>(stream, params, plan);
}
template void launch_leaf_decode<false>(CudaStream&, const AttentionParams&, int,
                                        const DecodePlan&);
template void launch_leaf_decode<true>(CudaStream&, const AttentionParams&, int, const DecodePlan&);

}  // namespace veloz::cuda
