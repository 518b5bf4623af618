// SPDX-License-Identifier: Apache-2.0
#include "cuda/attention_kernels.cuh"
#include "cuda/attention_prefill.cuh"

#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

template <bool kIsFp8, int kHeadDim>
using QueryOf = Query<kIsFp8, PrefillShape<kIsFp8, kHeadDim>::kSteps,
                      PrefillShape<kIsFp8, kHeadDim>::kIsQueryShared>;

/// Tile by tile, all warpgroups at the same one.
template <bool kIsFp8, int kHeadDim>
__device__ __forceinline__ void attend_together(PrefillTiles<kIsFp8, kHeadDim>& tiles,
                                                const QueryOf<kIsFp8, kHeadDim>& query,
                                                PrefillRows<kIsFp8, kHeadDim>& rows) {
  constexpr bool kIsWide = PrefillShape<kIsFp8, kHeadDim>::kIsWide;
  constexpr int kAsked = PrefillTiles<kIsFp8, kHeadDim>::kAsked;
  if (kIsFp8) {
    wait_for_copies<kAsked - 1>();
    tiles.convert_keys(0);
    if (!kIsWide) {
      tiles.convert_values(0);
      tiles.ask_for(kAsked);
    }
  }
  for (int tile = 0; tile < tiles.count(); ++tile) {
    if (!kIsFp8) wait_for_copies<kAsked - 1>();
    publish_operands();
    __syncthreads();
    if (!kIsFp8) tiles.ask_for(tile + kAsked);
    rows.multiply_keys(query, tiles.keys(tile));
    if (kIsFp8 && kIsWide) {
      tiles.convert_values(tile);
      tiles.ask_for(tile + kAsked);
      publish_operands();
    } else if (kIsFp8 && tile + 1 < tiles.count()) {
      wait_for_copies<kAsked - 1>();
      tiles.convert_keys(tile + 1);
      tiles.convert_values(tile + 1);
      tiles.ask_for(tile + 1 + kAsked);
    }
    wait_for_products<0>();
    if (kIsFp8 && kIsWide) __syncthreads();
    rows.weigh(tile);
    rows.take_weights();
    rows.multiply_values(tiles.values(tile));
    rows.sum_weights();
    if (kIsFp8 && kIsWide && tile + 1 < tiles.count()) {
      wait_for_copies<kAsked - 1>();
      tiles.convert_keys(tile + 1);
    }
    wait_for_products<0>();
    settle(rows.o);
    if (!tiles.is_last_of_leaf(tile)) continue;
    rows.fold_leaf(rows.maxima);
    rows.maxima[0] = rows.maxima[1] = -INFINITY;
  }
}

/// By a whole warp.
__device__ inline void tell(SharedBarrier& barrier) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive(&barrier);
}

/// Two warpgroups: one multiplies while the other weighs. In a round each multiplies K of the next
/// tile and V of this one, and weighs the next one's scores. They may be a round apart: what the
/// other may still read is not written.
template <bool kIsFp8, int kHeadDim>
__device__ __forceinline__ void attend_in_turns(PrefillTiles<kIsFp8, kHeadDim>& tiles,
                                                const QueryOf<kIsFp8, kHeadDim>& query,
                                                PrefillRows<kIsFp8, kHeadDim>& rows,
                                                TurnBarriers& barriers) {
  constexpr int kWarps = PrefillShape<kIsFp8, kHeadDim>::kThreads / 32;
  constexpr int kAsked = PrefillTiles<kIsFp8, kHeadDim>::kAsked;
  const int warpgroup = static_cast<int>(threadIdx.x) / 128;
  if (threadIdx.x == 0) {
    for (SharedBarrier& turn : barriers.turns) init_barrier(&turn, kWarps / 2);
    init_barrier(&barriers.ready, kWarps);
    for (SharedBarrier& round : barriers.rounds) init_barrier(&round, kWarps);
    publish_barriers();
  }
  if (kIsFp8) {
    wait_for_copies<kAsked - 1>();
    tiles.convert_keys(0);
    tiles.convert_values(0);
    tiles.ask_for(kAsked);
    wait_for_copies<kAsked - 1>();
    if (tiles.count() > 1) tiles.convert_keys(1);
  } else {
    wait_for_copies<kAsked - 2>();
  }
  publish_operands();
  __syncthreads();
  rows.multiply_keys(query, tiles.keys(0));
  wait_for_products<0>();
  rows.weigh(0);
  rows.round_weights();
  for (int tile = 0; tile + 1 < tiles.count(); ++tile) {
    const uint32_t parity = static_cast<uint32_t>(tile) % 2;
    wait_for_phase(&barriers.turns[warpgroup], warpgroup == 0 ? parity ^ 1 : parity);
    wait_for_phase(&barriers.ready, parity ^ 1);  // of the round before
    rows.multiply_keys(query, tiles.keys(tile + 1));
    rows.multiply_values(tiles.values(tile));
    tell(barriers.turns[1 - warpgroup]);

    // Two rounds ago.
    wait_for_phase(&barriers.rounds[parity], static_cast<uint32_t>(tile) / 2 % 2 ^ 1);
    if (kIsFp8) {
      wait_for_copies<kAsked - 2>();
      if (tile + 2 < tiles.count()) tiles.convert_keys(tile + 2);
      tiles.convert_values(tile + 1);
      tiles.ask_for(tile + 1 + kAsked);
    } else {
      tiles.ask_for(tile + kAsked);
      wait_for_copies<kAsked - 2>();
    }
    publish_operands();
    tell(barriers.ready);

    const float leaf_maxima[2] = {rows.maxima[0], rows.maxima[1]};
    if (tiles.is_last_of_leaf(tile)) rows.maxima[0] = rows.maxima[1] = -INFINITY;
    wait_for_products<1>();
    rows.weigh(tile + 1);
    wait_for_products<0>();
    settle(rows.o);
    tell(barriers.rounds[parity]);
    rows.sum_weights();  // not behind the products: it waits for the tensor cores
    if (tiles.is_last_of_leaf(tile)) rows.fold_leaf(leaf_maxima);
    rows.take_weights();
  }
  const int last = tiles.count() - 1;
  if (last > 0) wait_for_phase(&barriers.ready, static_cast<uint32_t>(last - 1) % 2);
  rows.multiply_values(tiles.values(last));
  rows.sum_weights();
  wait_for_products<0>();
  settle(rows.o);
  rows.fold_leaf(rows.maxima);
}

/// grid: (rows of some sequence, kv head).
template <bool kIsFp8, int kHeadDim>
__global__ void __launch_bounds__((PrefillShape<kIsFp8, kHeadDim>::kThreads),
                                  (PrefillShape<kIsFp8, kHeadDim>::kBlocks))
    prefill_attention_kernel(AttentionParams params) {
  using Shape = PrefillShape<kIsFp8, kHeadDim>;
  wait_for_previous_kernel();
  allow_next_kernel();
  const RowTile row_tile =
      find_row_tile<Shape::kThreads, Shape::kRows>(params, static_cast<int>(blockIdx.x));
  if (row_tile.seq < 0) return;
  const int kv_head = static_cast<int>(blockIdx.y);
  PrefillTiles<kIsFp8, kHeadDim> tiles(params, row_tile.seq, kv_head, dynamic_shared());
  const SequenceRows sequence(params, row_tile.seq, kv_head);
  const int last_row = row_tile.first_row + Shape::kRows < sequence.count()
                           ? row_tile.first_row + Shape::kRows - 1
                           : sequence.count() - 1;
  tiles.set_length(sequence.kv_len,
                   (sequence.num_seen(last_row) + kTilePositions - 1) / kTilePositions);
#pragma unroll
  for (int i = 0; i < PrefillTiles<kIsFp8, kHeadDim>::kAsked; ++i) tiles.ask_for(i);

  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4;
  const int j = lane % 4;
  unsigned char* const query_memory = dynamic_shared() + Shape::kTilesBytes;
  unsigned char* const total_memory = query_memory + Shape::kQueryBytes;
  const int warp_row = row_tile.first_row + warp * kRowBlock;
  const Bf16* const queries[2] = {sequence.query(warp_row + g, kHeadDim),
                                  sequence.query(warp_row + g + 8, kHeadDim)};
  const QueryOf<kIsFp8, kHeadDim> query(
      queries, query_memory + warp / 4 * (kProductRows * kHeadDim * 2), warp % 4 * kRowBlock, lane);
  PrefillRows<kIsFp8, kHeadDim> rows{
      .c = params.score_scale,
      .j = j,
      .num_seen = {sequence.num_seen(warp_row + g), sequence.num_seen(warp_row + g + 8)},
      .seen_by_all = sequence.num_seen(warp_row),
      .total = LeafTotal<Shape::kThreads, Shape::kSums>(total_memory)};
  if constexpr (Shape::kTakesTurns)
    attend_in_turns(tiles, query, rows,
                    *reinterpret_cast<TurnBarriers*>(total_memory + Shape::kTotalBytes));
  else
    attend_together(tiles, query, rows);

  float scale[2];
  Bf16* y[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = warp_row + half * 8 + g;
    scale[half] = output_scale(rows.total_sums[half], params.v_scale);
    y[half] = row < sequence.count() ? sequence.output(row, kHeadDim) + 2 * j : nullptr;
  }
#pragma unroll
  for (int t = 0; t < Shape::kSums / 4; ++t) {
    const float4 out = rows.total.get(t);
    if (y[0] != nullptr)
      *reinterpret_cast<uint32_t*>(y[0] + t * 8) = to_bf16x2(out.x * scale[0], out.y * scale[0]);
    if (y[1] != nullptr)
      *reinterpret_cast<uint32_t*>(y[1] + t * 8) = to_bf16x2(out.z * scale[1], out.w * scale[1]);
  }
}

template <bool kIsFp8, int kHeadDim>
void launch_shape(CudaStream& stream, const AttentionParams& params, int num_tokens) {
  using Shape = PrefillShape<kIsFp8, kHeadDim>;
  const int64_t num_rows = static_cast<int64_t>(num_tokens) * params.group;
  const int64_t num_tiles = (num_rows + Shape::kRows - 1) / Shape::kRows + params.num_seqs;
  launch(
      stream, "paged_attention/prefill", prefill_attention_kernel<kIsFp8, kHeadDim>,
      {.grid = dim3(static_cast<unsigned>(num_tiles), static_cast<unsigned>(params.num_kv_heads)),
       .block = dim3(Shape::kThreads),
       .shared_bytes = Shape::kSharedBytes},
      params);
}

}  // namespace

template <bool kIsFp8>
void launch_prefill(CudaStream& stream, const AttentionParams& params, int head_dim,
                    int num_tokens) {
  with_head_dim(head_dim, [&]<int kHeadDim>() {
    launch_shape<kIsFp8, kHeadDim>(stream, params, num_tokens);
  });
}
template void launch_prefill<false>(CudaStream&, const AttentionParams&, int, int);
template void launch_prefill<true>(CudaStream&, const AttentionParams&, int, int);

}  // namespace veloz::cuda
