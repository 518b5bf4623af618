// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "cuda/attention_kernels.cuh"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

/// Where a thread block keeps things. Each warp has 16 rows.
template <bool kIsFp8, int kHeadDim>
struct PrefillShape {
  // O of 256 channels takes half of a thread's registers: there is no room for more warps.
  static constexpr bool kIsWide = kHeadDim == 256;
  // Where registers are scarce, with 256 channels or two thread blocks.
  static constexpr bool kIsQueryShared = kHeadDim != 128;
  static constexpr int kWarps = kIsWide ? 4 : 8;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kRows = kWarps * kRowBlock;
  static constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);  // of the cache
  static constexpr int kStageBytes = 2 * kTilePositions * kRowBytes;
  static constexpr int kStages = kIsWide ? 2 : 3;
  static constexpr int kTileRowBytes = kHeadDim * 2;  // of what is multiplied
  static constexpr int kTileBytes = kTilePositions * kTileRowBytes;
  static constexpr int kConvertedBytes = kIsFp8 ? 2 * kTileBytes : 0;
  static constexpr int kQueryBytes = kIsQueryShared ? kRows * kHeadDim * 2 : 0;
  static constexpr int kTotalBytes = kRows * kHeadDim * 4;  // O of the leaves before
  static constexpr int kSharedBytes =
      kStages * kStageBytes + kConvertedBytes + kQueryBytes + kTotalBytes;
  static constexpr int kBlocks = kHeadDim == 64 ? 2 : 1;
  static constexpr int kSteps = kHeadDim / 16;
  static constexpr int kOutTiles = kHeadDim / 8;
  static_assert(kSharedBytes <= 226 * 1024, "a multiprocessor has that much");
};

/// Which rows a thread block has.
struct RowTile {
  int seq;
  int first_row;
};

/// Number `index` of the tiles of kRows rows of all long sequences, counted from the last: rows
/// that see the most positions begin first. All threads; seq is -1 past the end.
template <int kThreads, int kRows>
__device__ RowTile find_row_tile(const AttentionParams& params, int index) {
  __shared__ int warp_sums[kThreads / 32];
  __shared__ int found_seq;
  __shared__ int found_row;
  const int thread = static_cast<int>(threadIdx.x);
  const int per_thread = (params.num_seqs + kThreads - 1) / kThreads;
  const int begin = thread * per_thread;
  const int end = begin + per_thread < params.num_seqs ? begin + per_thread : params.num_seqs;
  const auto tiles_of = [&](int seq) {
    const int q_len = params.q_lens[seq];
    if (q_len <= 0 || is_short_sequence(q_len, params.group)) return 0;
    return (q_len * params.group + kRows - 1) / kRows;
  };
  int own = 0;
  for (int seq = begin; seq < end; ++seq) own += tiles_of(seq);
  int before = own;  // of this warp's threads up to this one
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = __shfl_up_sync(kFullMask, before, static_cast<unsigned>(distance));
    if (thread % 32 >= distance) before += other;
  }
  if (thread % 32 == 31) warp_sums[thread / 32] = before;
  if (thread == 0) found_seq = -1;
  __syncthreads();
  before -= own;
  int total = 0;
  for (int w = 0; w < kThreads / 32; ++w) {
    if (w < thread / 32) before += warp_sums[w];
    total += warp_sums[w];
  }
  const int wanted = total - 1 - index;
  if (wanted >= before && wanted < before + own) {
    int seq = begin;
    int rest = wanted - before;
    for (int count = tiles_of(seq); rest >= count; count = tiles_of(seq)) {
      rest -= count;
      ++seq;
    }
    found_seq = seq;
    found_row = rest * kRows;
  }
  __syncthreads();
  return {found_seq, found_row};
}

/// Codes of a tile as fp16: V as they come, K in the order of the product's slots.
template <bool kIsKey, int kThreads, int kHeadDim>
__device__ inline void convert_tile(const unsigned char* codes, unsigned char* to) {
  constexpr int kChunks = kHeadDim / 16;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < kTilePositions * kChunks; i += kThreads) {
    const int row = i / kChunks;
    const int chunk = i % kChunks;
    const uint4 words = *reinterpret_cast<const uint4*>(codes + chunk_offset<kHeadDim>(row, chunk));
    const uint32_t word[4] = {words.x, words.y, words.z, words.w};
    uint32_t low[4], high[4];
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      low[w] = e4m3x2_to_fp16x2(static_cast<uint16_t>(word[w]));
      high[w] = e4m3x2_to_fp16x2(static_cast<uint16_t>(word[w] >> 16));
    }
    const uint4 first =
        kIsKey ? uint4{low[0], low[1], low[2], low[3]} : uint4{low[0], high[0], low[1], high[1]};
    const uint4 second = kIsKey ? uint4{high[0], high[1], high[2], high[3]}
                                : uint4{low[2], high[2], low[3], high[3]};
    *reinterpret_cast<uint4*>(to + chunk_offset<kHeadDim * 2>(row, chunk * 2)) = first;
    *reinterpret_cast<uint4*>(to + chunk_offset<kHeadDim * 2>(row, chunk * 2 + 1)) = second;
  }
}

/// Fragments of Q, in registers or (kIsShared) each lane's own in shared memory.
template <bool kIsFp8, int kSteps, bool kIsShared>
class QueryFragments {
 public:
  __device__ QueryFragments(const Bf16* const (&rows)[2], unsigned char* shared, int j)
      : shared_(reinterpret_cast<uint4*>(shared) +
                (threadIdx.x / 32 * kSteps * 32 + threadIdx.x % 32)) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      if (kIsShared) {
        uint32_t a[4];
        load_query<kIsFp8>(a, rows, step, j);
        shared_[step * 32] = uint4{a[0], a[1], a[2], a[3]};
      } else {
        load_query<kIsFp8>(registers_[step], rows, step, j);
      }
    }
  }
  __device__ void get(uint32_t (&a)[4], int step) const {
    if (kIsShared) {
      const uint4 words = shared_[step * 32];
      a[0] = words.x;
      a[1] = words.y;
      a[2] = words.z;
      a[3] = words.w;
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = registers_[step][i];
    }
  }

 private:
  uint4* shared_;
  uint32_t registers_[kIsShared ? 1 : kSteps][4];
};

/// O of the leaves before: each thread's own in shared memory, as it is needed every eighth tile
/// only and registers are scarce.
template <int kThreads, int kOutTiles>
class LeafTotal {
 public:
  __device__ explicit LeafTotal(unsigned char* shared)
      : shared_(reinterpret_cast<float4*>(shared) + threadIdx.x) {
#pragma unroll
    for (int t = 0; t < kOutTiles; ++t) shared_[t * kThreads] = float4{0, 0, 0, 0};
  }
  /// Rows g and g + 8 have factors of their own.
  __device__ void fold(const float (&leaf)[kOutTiles][4], const LeafFold (&folds)[2]) {
#pragma unroll
    for (int t = 0; t < kOutTiles; ++t) {
      const float4 total = get(t);
      shared_[t * kThreads] = float4{folds[0](total.x, leaf[t][0]), folds[0](total.y, leaf[t][1]),
                                     folds[1](total.z, leaf[t][2]), folds[1](total.w, leaf[t][3])};
    }
  }
  __device__ float4 get(int t) const { return shared_[t * kThreads]; }

 private:
  float4* shared_;
};

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
  TileLoader<Shape::kThreads, Shape::kRowBytes> loader(params, row_tile.seq, kv_head);
  loader.fetch_blocks(0);
  const SequenceRows rows(params, row_tile.seq, kv_head);
  const int kv_len = rows.kv_len;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4;
  const int j = lane % 4;
  const int last_row = row_tile.first_row + Shape::kRows < rows.count()
                           ? row_tile.first_row + Shape::kRows - 1
                           : rows.count() - 1;
  const int num_tiles = (rows.num_seen(last_row) + kTilePositions - 1) / kTilePositions;

  unsigned char* const stages = dynamic_shared();
  unsigned char* const query_memory =
      stages + Shape::kStages * Shape::kStageBytes + Shape::kConvertedBytes;
  unsigned char* const total_memory = query_memory + Shape::kQueryBytes;

#pragma unroll
  for (int i = 0; i < Shape::kStages - 1; ++i) {
    if (i < num_tiles) {
      loader.copy(i, kv_len, stages + i * Shape::kStageBytes);
      loader.fetch_blocks(i + 1);
    }
    commit_copies();
  }

  const int warp_row = row_tile.first_row + warp * kRowBlock;
  const Bf16* const queries[2] = {rows.query(warp_row + g, kHeadDim),
                                  rows.query(warp_row + g + 8, kHeadDim)};
  const QueryFragments<kIsFp8, Shape::kSteps, Shape::kIsQueryShared> query(queries, query_memory,
                                                                           j);
  const int num_seen[2] = {rows.num_seen(warp_row + g), rows.num_seen(warp_row + g + 8)};
  const int seen_by_all = rows.num_seen(warp_row);  // of the warp's rows
  const float c = params.score_scale;
  // Where a lane's rows of K and V begin in a tile; further chunks are an exclusive or away, as
  // tiles are aligned to what chunk_offset turns.
  const int k_lane = chunk_offset<Shape::kTileRowBytes>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
  const int v_lane = chunk_offset<Shape::kTileRowBytes>(lane % 16, lane / 16);

  LeafTotal<Shape::kThreads, Shape::kOutTiles> total(total_memory);
  float total_maxima[2] = {-INFINITY, -INFINITY};
  float total_sums[2] = {};
  float o[Shape::kOutTiles][4] = {};
  float sums[4] = {};
  float maxima[2] = {-INFINITY, -INFINITY};
  int stage = 0;
  int free_stage = Shape::kStages - 1;
  for (int tile = 0; tile < num_tiles; ++tile) {
    wait_for_copies<Shape::kStages - 2>();
    __syncthreads();
    if (tile + Shape::kStages - 1 < num_tiles) {
      loader.copy(tile + Shape::kStages - 1, kv_len, stages + free_stage * Shape::kStageBytes);
      loader.fetch_blocks(tile + Shape::kStages);
    }
    commit_copies();
    // Addresses that change with each tile: those that do not would be kept in registers, of which
    // there are none to spare.
    int k_at = stage * Shape::kStageBytes;
    int v_at = k_at + Shape::kTileBytes;
    if (kIsFp8) {
      const unsigned char* const codes = stages + k_at;
      const int turn = tile % 2 * Shape::kTileBytes;
      k_at = Shape::kStages * Shape::kStageBytes + turn;
      v_at = Shape::kStages * Shape::kStageBytes + Shape::kTileBytes - turn;
      convert_tile<true, Shape::kThreads, kHeadDim>(codes, stages + k_at);
      convert_tile<false, Shape::kThreads, kHeadDim>(codes + Shape::kStageBytes / 2, stages + v_at);
      __syncthreads();
    }
    k_at += k_lane;
    v_at += v_lane;
    stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
    free_stage = free_stage + 1 == Shape::kStages ? 0 : free_stage + 1;

    float s[8][4] = {};
#pragma unroll(Shape::kIsQueryShared ? 2 : Shape::kSteps)
    for (int step = 0; step < Shape::kSteps; ++step) {
      uint32_t a[4];
      query.get(a, step);
#pragma unroll
      for (int t = 0; t < 8; t += 2) {
        uint32_t r[4];  // two chunks of positions 0-7, then of 8-15
        load_matrices(r, stages + (k_at ^ step * 32) + t * 8 * Shape::kTileRowBytes);
        multiply<kIsFp8>(s[t], a, r[0], r[1]);
        multiply<kIsFp8>(s[t + 1], a, r[2], r[3]);
      }
    }
    if ((tile + 1) * kTilePositions > seen_by_all) {
      const int first_position = tile * kTilePositions + 2 * j;
#pragma unroll
      for (int t = 0; t < 8; ++t)
#pragma unroll
        for (int n = 0; n < 4; ++n)
          if (first_position + t * 8 + n % 2 >= num_seen[n / 2]) s[t][n] = -INFINITY;
    }

    float shrink[2], shift[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float maximum = -INFINITY;
#pragma unroll
      for (int t = 0; t < 8; ++t)
        maximum = fmaxf(maximum, fmaxf(s[t][half * 2], s[t][half * 2 + 1]));
      maximum = fmaxf(maximum, __shfl_xor_sync(kFullMask, maximum, 1));
      maximum = fmaxf(maximum, __shfl_xor_sync(kFullMask, maximum, 2));
      maximum = fmaxf(maximum, maxima[half]);
      const float base = finite_base(maximum);
      shrink[half] = rescaling(maxima[half], base, c);
      shift[half] = -base * c;
      maxima[half] = maximum;
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      sums[n] *= shrink[n / 2];
#pragma unroll
      for (int t = 0; t < Shape::kOutTiles; ++t) o[t][n] *= shrink[n / 2];
    }

    uint32_t p[4][4];
#pragma unroll
    for (int step = 0; step < 4; ++step)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int half = i % 2;
        const float(&scores)[4] = s[step * 2 + i / 2];
        p[step][i] = round_pair<kIsFp8>(weight(scores[half * 2], c, shift[half]),
                                        weight(scores[half * 2 + 1], c, shift[half]));
      }
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      add_row_sums<kIsFp8>(sums, p[step]);
#pragma unroll
      for (int t = 0; t < Shape::kOutTiles; t += 2) {
        uint32_t r[4];  // positions 0-7 and 8-15 of a chunk, then of the next
        load_matrices_transposed(r, stages + (v_at ^ t * 16) + step * 16 * Shape::kTileRowBytes);
        multiply<kIsFp8>(o[t], p[step], r[0], r[1]);
        multiply<kIsFp8>(o[t + 1], p[step], r[2], r[3]);
      }
    }

    if (tile % kLeafTiles != kLeafTiles - 1 && tile != num_tiles - 1) continue;
    LeafFold folds[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      folds[half] = fold_maxima(total_maxima[half], maxima[half], c);
      total_sums[half] = folds[half](total_sums[half], sums[half * 2]);
      maxima[half] = -INFINITY;
    }
    total.fold(o, folds);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      sums[n] = 0;
#pragma unroll
      for (int t = 0; t < Shape::kOutTiles; ++t) o[t][n] = 0;
    }
  }

  float scale[2];
  Bf16* y[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = warp_row + half * 8 + g;
    scale[half] = output_scale(total_sums[half], params.v_scale);
    y[half] = row < rows.count() ? rows.output(row, kHeadDim) + 2 * j : nullptr;
  }
#pragma unroll
  for (int t = 0; t < Shape::kOutTiles; ++t) {
    const float4 out = total.get(t);
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
  if (head_dim == 64)
    launch_shape<kIsFp8, 64>(stream, params, num_tokens);
  else if (head_dim == 128)
    launch_shape<kIsFp8, 128>(stream, params, num_tokens);
  else
    launch_shape<kIsFp8, 256>(stream, params, num_tokens);
}
template void launch_prefill<false>(CudaStream&, const AttentionParams&, int, int);
template void launch_prefill<true>(CudaStream&, const AttentionParams&, int, int);

}  // namespace veloz::cuda
