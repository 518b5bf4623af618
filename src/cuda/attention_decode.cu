// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "cuda/attention_kernels.cuh"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kWarpPositions = kTilePositions / kWarps;  // of whose scores a warp takes care
// Rows of P are 16 bytes longer than they need be, so that eight of them lie in different banks.
constexpr int kWeightRowBytes = kTilePositions * 2 + 16;

/// Where a thread block keeps things, and how many share a multiprocessor.
template <bool kIsFp8, int kHeadDim>
struct DecodeShape {
  static constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);
  static constexpr int kStageBytes = 2 * kTilePositions * kRowBytes;
  static constexpr int kStages = kStageBytes <= 16384 ? 4 : 3;
  static constexpr int kWeightBytes = kRowBlock * kWeightRowBytes;
  static constexpr int kSharedBytes =
      kStages * kStageBytes + kWeightBytes + kWarps * kRowBlock * static_cast<int>(sizeof(float));
  // With all but one stage under way these are 96 KiB per multiprocessor with rows of 64 bytes,
  // 144 KiB with 128, and 128 KiB beyond. A fourth thread block of 128 would spill registers.
  static constexpr int kBlocks = kStageBytes <= 8192    ? 4
                                 : kStageBytes <= 16384 ? 3
                                 : kStageBytes <= 32768 ? 2
                                                        : 1;
  static constexpr int kColumns = kHeadDim / kWarps;  // of O, per warp
  static constexpr int kOutTiles = kColumns / 8;
  static constexpr int kSteps = kHeadDim / 16;
};

/// S of 16 rows and the warp's 16 positions, as two tiles of 8.
template <bool kIsFp8, int kHeadDim>
__device__ inline void multiply_keys(float (&s)[2][4], const unsigned char* k,
                                     const uint32_t (&q)[kHeadDim / 16][4], int warp, int lane) {
  constexpr int kRowBytes = DecodeShape<kIsFp8, kHeadDim>::kRowBytes;
  const int row = warp * kWarpPositions + lane / 16 * 8 + lane % 8;
  const int chunk = lane / 8 % 2;
#pragma unroll
  for (int c = 0; c < kRowBytes / 16; c += 2) {
    uint32_t r[4];  // chunks c and c + 1 of positions 0-7, then of 8-15
    load_matrices(r, k + chunk_offset<kRowBytes>(row, c + chunk));
    if (kIsFp8) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        multiply<kIsFp8>(s[i / 2], q[c + i % 2], e4m3x2_to_fp16x2(static_cast<uint16_t>(r[i])),
                         e4m3x2_to_fp16x2(static_cast<uint16_t>(r[i] >> 16)));
    } else {
      multiply<kIsFp8>(s[0], q[c / 2], r[0], r[1]);
      multiply<kIsFp8>(s[1], q[c / 2], r[2], r[3]);
    }
  }
}

/// O of the warp's columns += P V, and the sums of P. With codes, tiles 2i and 2i + 1 of O hold the
/// even and the odd channels of 16.
template <bool kIsFp8, int kHeadDim, int kOutTiles>
__device__ inline void multiply_values(float (&o)[kOutTiles][4], float (&sums)[4],
                                       const unsigned char* v, const unsigned char* weights,
                                       int warp, int lane) {
  constexpr int kRowBytes = DecodeShape<kIsFp8, kHeadDim>::kRowBytes;
  const int first_chunk = warp * (kRowBytes / kWarps / 16);
  const unsigned char* const p_row = weights + lane % 16 * kWeightRowBytes + lane / 16 * 16;
  if (kIsFp8) {
#pragma unroll
    for (int step = 0; step < 4; step += 2) {
      uint32_t p[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        load_matrices(p[i], p_row + (step + i) * 32);
        add_row_sums<kIsFp8>(sums, p[i]);
      }
#pragma unroll
      for (int c = 0; c < kOutTiles / 2; ++c) {
        uint32_t r[4];  // positions 0-7, 8-15, 16-23, 24-31
        load_matrices_transposed(r, v + chunk_offset<kRowBytes>(step * 16 + lane, first_chunk + c));
        uint32_t even[4], odd[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const uint32_t sorted = __byte_perm(r[i], 0, 0x3120);
          even[i] = e4m3x2_to_fp16x2(static_cast<uint16_t>(sorted));
          odd[i] = e4m3x2_to_fp16x2(static_cast<uint16_t>(sorted >> 16));
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          multiply<kIsFp8>(o[2 * c], p[i], even[2 * i], even[2 * i + 1]);
          multiply<kIsFp8>(o[2 * c + 1], p[i], odd[2 * i], odd[2 * i + 1]);
        }
      }
    }
  } else {
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      uint32_t p[4];
      load_matrices(p, p_row + step * 32);
      add_row_sums<kIsFp8>(sums, p);
#pragma unroll
      for (int c = 0; c < kOutTiles; c += 2) {
        uint32_t r[4];  // positions 0-7 and 8-15 of a chunk, then of the next
        load_matrices_transposed(
            r, v + chunk_offset<kRowBytes>(step * 16 + lane % 16, first_chunk + c + lane / 16));
        multiply<kIsFp8>(o[c], p, r[0], r[1]);
        multiply<kIsFp8>(o[c + 1], p, r[2], r[3]);
      }
    }
  }
}

/// Two neighbouring columns of O of one row.
struct OutputPair {
  int column;
  float x;
  float y;
};
/// Pair i of this lane's kOutTiles pairs of row g (half 0) or g + 8 (half 1).
template <bool kIsFp8, int kOutTiles>
__device__ inline OutputPair output_pair(const float (&o)[kOutTiles][4], int i, int half, int j) {
  if (kIsFp8) {
    const int even = i & ~1;
    const int n = half * 2 + (i & 1);
    return {even * 8 + 4 * j + 2 * (i & 1), o[even][n], o[even + 1][n]};
  }
  return {i * 8 + 2 * j, o[i][half * 2], o[i][half * 2 + 1]};
}

/// O, maxima and sums of rows g and g + 8, this warp's columns.
template <int kOutTiles>
struct RowState {
  float o[kOutTiles][4] = {};
  float sums[4] = {};
  float maxima[2] = {-INFINITY, -INFINITY};
};

/// grid: (split, kv head and block of its rows, sequence). Each tile: warps take 16 positions each
/// for the scores, exchange maxima and weights through shared memory, and take a quarter of the
/// columns each for the output.
template <bool kIsFp8, int kHeadDim>
__global__ void __launch_bounds__(kThreads, (DecodeShape<kIsFp8, kHeadDim>::kBlocks))
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
  TileLoader<kThreads, Shape::kRowBytes> loader(params, seq, kv_head);
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
  unsigned char* const weights = stages + Shape::kStages * Shape::kStageBytes;
  float* const warp_maxima = reinterpret_cast<float*>(weights + Shape::kWeightBytes);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4;
  const int j = lane % 4;

#pragma unroll
  for (int i = 0; i < Shape::kStages - 1; ++i) {
    if (i < own_tiles) {
      loader.copy(tile_at(i), kv_len, stages + i * Shape::kStageBytes);
      loader.fetch_blocks(tile_at(i + 1));
    }
    commit_copies();
  }

  const Bf16* const queries[2] = {rows.query(first_row + g, kHeadDim),
                                  rows.query(first_row + g + 8, kHeadDim)};
  uint32_t q[Shape::kSteps][4];
#pragma unroll
  for (int step = 0; step < Shape::kSteps; ++step) load_query<kIsFp8>(q[step], queries, step, j);
  const int num_seen[2] = {rows.num_seen(first_row + g), rows.num_seen(first_row + g + 8)};
  const float c = params.score_scale;

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
    const unsigned char* const k = stages + stage * Shape::kStageBytes;
    stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
    free_stage = free_stage + 1 == Shape::kStages ? 0 : free_stage + 1;

    float s[2][4] = {};
    multiply_keys<kIsFp8, kHeadDim>(s, k, q, warp, lane);
    const int first_position = tile * kTilePositions + warp * kWarpPositions + 2 * j;
    float maxima[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int t = 0; t < 2; ++t)
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        if (first_position + t * 8 + n % 2 >= num_seen[n / 2]) s[t][n] = -INFINITY;
        maxima[n / 2] = fmaxf(maxima[n / 2], s[t][n]);
      }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      maxima[half] = fmaxf(maxima[half], __shfl_xor_sync(kFullMask, maxima[half], 1));
      maxima[half] = fmaxf(maxima[half], __shfl_xor_sync(kFullMask, maxima[half], 2));
      if (j == 0) warp_maxima[warp * kRowBlock + half * 8 + g] = maxima[half];
    }
    __syncthreads();

    float shrink[2], shift[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float maximum = leaf.maxima[half];
#pragma unroll
      for (int w = 0; w < kWarps; ++w)
        maximum = fmaxf(maximum, warp_maxima[w * kRowBlock + half * 8 + g]);
      const float base = finite_base(maximum);
      shrink[half] = rescaling(leaf.maxima[half], base, c);
      shift[half] = -base * c;
      leaf.maxima[half] = maximum;
#pragma unroll
      for (int t = 0; t < 2; ++t)
        *reinterpret_cast<uint32_t*>(weights + (half * 8 + g) * kWeightRowBytes +
                                     (warp * kWarpPositions + t * 8 + 2 * j) * 2) =
            round_pair<kIsFp8>(weight(s[t][half * 2], c, shift[half]),
                               weight(s[t][half * 2 + 1], c, shift[half]));
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      leaf.sums[n] *= shrink[n / 2];
#pragma unroll
      for (int t = 0; t < Shape::kOutTiles; ++t) leaf.o[t][n] *= shrink[n / 2];
    }
    __syncthreads();

    multiply_values<kIsFp8, kHeadDim>(leaf.o, leaf.sums, k + Shape::kStageBytes / 2, weights, warp,
                                      lane);

    if (i % kLeafTiles != kLeafTiles - 1 && i != own_tiles - 1) continue;
    if (is_direct) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const LeafFold fold = fold_maxima(total.maxima[half], leaf.maxima[half], c);
        total.sums[half * 2] = fold(total.sums[half * 2], leaf.sums[half * 2]);
#pragma unroll
        for (int t = 0; t < Shape::kOutTiles; ++t)
#pragma unroll
          for (int n = half * 2; n < half * 2 + 2; ++n)
            total.o[t][n] = fold(total.o[t][n], leaf.o[t][n]);
      }
    } else {
      const int64_t unit = static_cast<int64_t>(seq) * gridDim.y + unit_in_seq;
      const int64_t base = (unit * params.num_leaves + tile / kLeafTiles) * kRowBlock;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t at = base + half * 8 + g;
        if (first_row + half * 8 + g >= rows.count()) continue;
        if (warp == 0 && j == 0)
          params.partial_sums[at] = float2{leaf.maxima[half], leaf.sums[half * 2]};
        float* const to = params.partial_outputs + at * kHeadDim + warp * Shape::kColumns;
#pragma unroll
        for (int t = 0; t < Shape::kOutTiles; ++t) {
          const OutputPair pair = output_pair<kIsFp8>(leaf.o, t, half, j);
          *reinterpret_cast<float2*>(to + pair.column) = float2{pair.x, pair.y};
        }
      }
    }
    leaf = RowState<Shape::kOutTiles>();
  }
  if (!is_direct) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + half * 8 + g;
    if (row >= rows.count()) continue;
    const float scale = output_scale(total.sums[half * 2], params.v_scale);
    Bf16* const y = rows.output(row, kHeadDim) + warp * Shape::kColumns;
#pragma unroll
    for (int t = 0; t < Shape::kOutTiles; ++t) {
      const OutputPair pair = output_pair<kIsFp8>(total.o, t, half, j);
      *reinterpret_cast<uint32_t*>(y + pair.column) = to_bf16x2(pair.x * scale, pair.y * scale);
    }
  }
}

/// Folds the leaves of a row in order. grid: (row of the block, kv head and block of its rows,
/// sequence); each thread has two columns.
template <int kHeadDim>
__global__ void __launch_bounds__(kHeadDim / 2)
    fold_leaves_kernel(AttentionParams params, int row_blocks) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int seq = static_cast<int>(blockIdx.z);
  const int unit_in_seq = static_cast<int>(blockIdx.y);
  const SequenceRows rows(params, seq, unit_in_seq / row_blocks);
  const int row_in_block = static_cast<int>(blockIdx.x);
  const int row = unit_in_seq % row_blocks * kRowBlock + row_in_block;
  const int num_leaves = (rows.kv_len + kLeafPositions - 1) / kLeafPositions;
  if (!is_short_sequence(rows.q_len, params.group) || row >= rows.count() || num_leaves <= 1)
    return;
  const int column = static_cast<int>(threadIdx.x) * 2;
  const int64_t unit = static_cast<int64_t>(seq) * gridDim.y + unit_in_seq;
  const int64_t first = unit * params.num_leaves * kRowBlock + row_in_block;
  float maximum = -INFINITY;
  float sum = 0;
  float2 out{0, 0};
#pragma unroll 4
  for (int leaf = 0; leaf < num_leaves; ++leaf) {
    const int64_t at = first + leaf * kRowBlock;
    const float2 of_leaf = params.partial_sums[at];
    const float2 o =
        *reinterpret_cast<const float2*>(params.partial_outputs + at * kHeadDim + column);
    const LeafFold fold = fold_maxima(maximum, of_leaf.x, params.score_scale);
    sum = fold(sum, of_leaf.y);
    out.x = fold(out.x, o.x);
    out.y = fold(out.y, o.y);
  }
  const float scale = output_scale(sum, params.v_scale);
  *reinterpret_cast<uint32_t*>(rows.output(row, kHeadDim) + column) =
      to_bf16x2(out.x * scale, out.y * scale);
}

template <bool kIsFp8, int kHeadDim>
void launch_shape(CudaStream& stream, const AttentionParams& params, int num_tokens,
                  const DecodePlan& plan) {
  using Shape = DecodeShape<kIsFp8, kHeadDim>;
  const int row_blocks = static_cast<int>(plan.row_blocks);
  const auto units = static_cast<unsigned>(params.num_kv_heads * row_blocks);
  const auto num_seqs = static_cast<unsigned>(params.num_seqs);
  launch(stream, "paged_attention/decode", decode_attention_kernel<kIsFp8, kHeadDim>,
         {.grid = dim3(static_cast<unsigned>(plan.num_splits), units, num_seqs),
          .block = dim3(kThreads),
          .shared_bytes = Shape::kSharedBytes},
         params, row_blocks);
  if (plan.num_splits == 1) return;
  const bool is_one_token_each = num_tokens == params.num_seqs;
  const int max_rows = is_one_token_each && params.group < kRowBlock ? params.group : kRowBlock;
  launch(
      stream, "paged_attention/fold_leaves", fold_leaves_kernel<kHeadDim>,
      {.grid = dim3(static_cast<unsigned>(max_rows), units, num_seqs), .block = dim3(kHeadDim / 2)},
      params, row_blocks);
}

}  // namespace

template <bool kIsFp8>
void launch_decode(CudaStream& stream, const AttentionParams& params, int head_dim, int num_tokens,
                   const DecodePlan& plan) {
  if (head_dim == 64)
    launch_shape<kIsFp8, 64>(stream, params, num_tokens, plan);
  else if (head_dim == 128)
    launch_shape<kIsFp8, 128>(stream, params, num_tokens, plan);
  else
    launch_shape<kIsFp8, 256>(stream, params, num_tokens, plan);
}
template void launch_decode<false>(CudaStream&, const AttentionParams&, int, int,
                                   const DecodePlan&);
template void launch_decode<true>(CudaStream&, const AttentionParams&, int, int, const DecodePlan&);

}  // namespace veloz::cuda
