// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <type_traits>

#include "cuda/attention_kernels.cuh"
#include "cuda/launch.h"
#include "cuda/ptx/barrier.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/ptx/wgmma.h"

namespace veloz::cuda {
namespace {

/// What is multiplied, as the decoding kernels do (attention_tiles.cuh).
template <bool kIsFp8>
using AttentionProduct = std::conditional_t<kIsFp8, Fp16Product, Bf16Product>;

/// Of two warpgroups that take turns.
struct TurnBarriers {
  SharedBarrier turns[2];   // a warpgroup may multiply: the other has begun to
  SharedBarrier ready;      // what the next round multiplies is in shared memory
  SharedBarrier rounds[2];  // of even and odd number: nobody reads its operands any more
};

/// Where a thread block keeps things. Each warpgroup has 64 rows, a warp of it 16.
template <bool kIsFp8, int kHeadDim>
struct PrefillShape {
  // O of 256 channels takes half of a thread's registers: there is no room for more warps.
  static constexpr bool kIsWide = kHeadDim == 256;
  // Where registers are scarce, with 256 channels or two thread blocks.
  static constexpr bool kIsQueryShared = kHeadDim != 128;
  static constexpr int kWarpgroups = kIsWide ? 1 : 2;
  static constexpr int kThreads = kWarpgroups * 128;
  static constexpr int kRows = kWarpgroups * kProductRows;
  static constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);  // of the cache
  static constexpr int kStageBytes = 2 * kTilePositions * kRowBytes;
  // Two warpgroups take turns: one multiplies while the other weighs scores. With 64 channels two
  // thread blocks do so by themselves.
  static constexpr bool kTakesTurns = kHeadDim == 128;
  static constexpr int kStages = kIsWide ? 2 : kTakesTurns && !kIsFp8 ? 5 : 3;
  static constexpr int kTileBytes = kTilePositions * kHeadDim * 2;  // of what is multiplied
  static constexpr int kPairBytes = 2 * kTileBytes;                 // K and V
  // Codes are converted while the tile before is multiplied; K of 256 channels while its V is.
  static constexpr int kPairs = kIsWide ? 1 : kTakesTurns ? 3 : 2;
  static constexpr int kConvertedBytes = kIsFp8 ? kPairs * kPairBytes : 0;
  static constexpr int kQueryBytes = kIsQueryShared ? kRows * kHeadDim * 2 : 0;
  static constexpr int kTotalBytes = kRows * kHeadDim * 4;  // O of the leaves before
  static constexpr int kBarrierBytes = kTakesTurns ? sizeof(TurnBarriers) : 0;
  static constexpr int kSharedBytes =
      kStages * kStageBytes + kConvertedBytes + kQueryBytes + kTotalBytes + kBarrierBytes;
  static constexpr int kBlocks = kHeadDim == 64 ? 2 : 1;
  static constexpr int kSteps = kHeadDim / 16;
  static constexpr int kSums = kHeadDim / 2;  // of O, per thread
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

/// Codes of a tile as fp16 in panels: V as they come, K in the order of the product's slots.
template <bool kIsKey, int kThreads, int kHeadDim>
__device__ inline void convert_tile(const unsigned char* codes, unsigned char* to) {
  constexpr int kChunks = kHeadDim / 16;
  const int first_row = static_cast<int>(threadIdx.x) / kChunks;
  const int chunk = static_cast<int>(threadIdx.x) % kChunks;
  // Eight threads write to all banks: those of the second panel begin with the odd chunk.
  const int is_odd = chunk / 4 % 2;
#pragma unroll 2
  for (int pass = 0; pass < kTilePositions * kChunks / kThreads; ++pass) {
    const int row = first_row + pass * (kThreads / kChunks);
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
    const int at = panel_offset(row, chunk * 2 + is_odd);
    *reinterpret_cast<uint4*>(to + at) = is_odd ? second : first;
    *reinterpret_cast<uint4*>(to + (at ^ 16)) = is_odd ? first : second;
  }
}

/// Where a panel's step of 16 channels begins, from the tile's begin.
constexpr int step_bytes(int step) { return step / 4 * kPanelBytes + step % 4 * 32; }

/// Q of a warpgroup: fragments in registers or (kIsShared) panels in shared memory.
template <bool kIsFp8, int kSteps, bool kIsShared>
class Query {
 public:
  using Product = AttentionProduct<kIsFp8>;

  /// `rows`: this lane's two. `shared`: of the warpgroup.
  __device__ Query(const Bf16* const (&rows)[2], unsigned char* shared, int warp_row, int lane)
      : shared_(matrix_descriptor(shared_address(shared))) {
    const int j = lane % 4;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      if (kIsShared) {
        uint32_t a[4];  // rows g, g + 8; then slots 8 further
        load_query<kIsFp8>(a, rows, step, j);
#pragma unroll
        for (int i = 0; i < 4; ++i)
          *reinterpret_cast<uint32_t*>(
              shared + panel_offset(warp_row + lane / 4 + i % 2 * 8, step * 2 + i / 2) + j * 4) =
              a[i];
      } else {
        load_query<kIsFp8>(registers_[step], rows, step, j);
      }
    }
  }
  /// S += Q K^T, of K at a descriptor.
  __device__ __forceinline__ void multiply_keys(float (&s)[kTilePositions / 2], uint64_t k) const {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const uint64_t further = descriptor_step(step_bytes(step));
      if constexpr (kIsShared)
        multiply<Product, kTilePositions>(s, shared_ + further, k + further, true);
      else
        multiply_registers<Product, kTilePositions, false>(s, registers_[step], k + further);
    }
  }

 private:
  uint64_t shared_;
  uint32_t registers_[kIsShared ? 1 : kSteps][4];
};

/// O of the leaves before: each thread's own in shared memory, as it is needed every eighth tile
/// only and registers are scarce.
template <int kThreads, int kSums>
class LeafTotal {
 public:
  __device__ explicit LeafTotal(unsigned char* shared)
      : shared_(reinterpret_cast<float4*>(shared) + threadIdx.x) {
#pragma unroll
    for (int t = 0; t < kSums / 4; ++t) shared_[t * kThreads] = float4{0, 0, 0, 0};
  }
  /// Rows g and g + 8 have factors of their own.
  __device__ void fold(const float (&leaf)[kSums], const LeafFold (&folds)[2]) {
#pragma unroll
    for (int t = 0; t < kSums / 4; ++t) {
      const float4 total = get(t);
      const float* const o = leaf + 4 * t;
      shared_[t * kThreads] = float4{folds[0](total.x, o[0]), folds[0](total.y, o[1]),
                                     folds[1](total.z, o[2]), folds[1](total.w, o[3])};
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
  TileLoader<Shape::kThreads, Shape::kRowBytes, !kIsFp8> loader(params, row_tile.seq, kv_head);
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
  unsigned char* const converted = stages + Shape::kStages * Shape::kStageBytes;
  unsigned char* const query_memory = converted + Shape::kConvertedBytes;
  unsigned char* const total_memory = query_memory + Shape::kQueryBytes;

  const auto copied = [&](int tile) { return stages + tile % Shape::kStages * Shape::kStageBytes; };
  const auto ask_for = [&](int tile) {
    if (tile < num_tiles) {
      loader.copy(tile, kv_len, copied(tile));
      loader.fetch_blocks(tile + 1);
    }
    commit_copies();
  };
  // Each thread converts what it copied: of others' copies it need not know that they came.
  const auto operands = [&](int tile) {
    return kIsFp8 ? converted + tile % Shape::kPairs * Shape::kPairBytes : copied(tile);
  };
  const auto convert_keys = [&](int tile) {
    convert_tile<true, Shape::kThreads, kHeadDim>(copied(tile), operands(tile));
  };
  const auto convert_values = [&](int tile) {
    convert_tile<false, Shape::kThreads, kHeadDim>(copied(tile) + Shape::kStageBytes / 2,
                                                   operands(tile) + Shape::kTileBytes);
  };
  // Tiles under way.
  constexpr int kAsked = Shape::kStages - (kIsFp8 ? 0 : Shape::kTakesTurns ? 2 : 1);
#pragma unroll
  for (int i = 0; i < kAsked; ++i) ask_for(i);

  const int warp_row = row_tile.first_row + warp * kRowBlock;
  const Bf16* const queries[2] = {rows.query(warp_row + g, kHeadDim),
                                  rows.query(warp_row + g + 8, kHeadDim)};
  const Query<kIsFp8, Shape::kSteps, Shape::kIsQueryShared> query(
      queries, query_memory + warp / 4 * (kProductRows * kHeadDim * 2), warp % 4 * kRowBlock, lane);
  const int num_seen[2] = {rows.num_seen(warp_row + g), rows.num_seen(warp_row + g + 8)};
  const int seen_by_all = rows.num_seen(warp_row);  // of the warp's rows
  const float c = params.score_scale;

  LeafTotal<Shape::kThreads, Shape::kSums> total(total_memory);
  float total_maxima[2] = {-INFINITY, -INFINITY};
  float total_sums[2] = {};
  float o[Shape::kSums] = {};
  float sums[4] = {};
  float maxima[2] = {-INFINITY, -INFINITY};
  float s[kTilePositions / 2];
  uint32_t p[4][4];

  const auto multiply_keys = [&](int tile) {
#pragma unroll
    for (float& score : s) score = 0;
    begin_products();
    query.multiply_keys(s, matrix_descriptor(shared_address(operands(tile))));
    commit_products();
  };
  const auto multiply_values = [&](int tile) {
    begin_products();
    const uint64_t values =
        panels_descriptor(shared_address(operands(tile) + Shape::kTileBytes), kPanelBytes);
#pragma unroll
    for (int step = 0; step < 4; ++step)
      multiply_registers<AttentionProduct<kIsFp8>, kHeadDim, true>(
          o, p[step], values + descriptor_step(step * 16 * 128));
    commit_products();
  };
  const auto sum_weights = [&] {
#pragma unroll
    for (int step = 0; step < 4; ++step) add_row_sums<kIsFp8>(sums, p[step]);
  };
  /// Scores become weights; `shrink` is what O and the sums before them are to be multiplied with.
  const auto weigh = [&](int tile, float(&shrink)[2]) {
    settle(s);
    if ((tile + 1) * kTilePositions > seen_by_all) {
      const int first_position = tile * kTilePositions + 2 * j;
#pragma unroll
      for (int t = 0; t < 8; ++t)
#pragma unroll
        for (int n = 0; n < 4; ++n)
          if (first_position + t * 8 + n % 2 >= num_seen[n / 2]) s[4 * t + n] = -INFINITY;
    }
    float shift[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float maximum = -INFINITY;
#pragma unroll
      for (int t = 0; t < 8; ++t)
        maximum = fmaxf(maximum, fmaxf(s[4 * t + half * 2], s[4 * t + half * 2 + 1]));
      maximum = fmaxf(maximum, __shfl_xor_sync(kFullMask, maximum, 1));
      maximum = fmaxf(maximum, __shfl_xor_sync(kFullMask, maximum, 2));
      maximum = fmaxf(maximum, maxima[half]);
      const float base = finite_base(maximum);
      shrink[half] = rescaling(maxima[half], base, c);
      shift[half] = -base * c;
      maxima[half] = maximum;
    }
#pragma unroll
    for (int i = 0; i < kTilePositions / 2; ++i) s[i] = weight(s[i], c, shift[i % 4 / 2]);
  };
  const auto rescale = [&](const float(&shrink)[2]) {
#pragma unroll
    for (int n = 0; n < 4; ++n) sums[n] *= shrink[n / 2];
#pragma unroll
    for (int i = 0; i < Shape::kSums; ++i) o[i] *= shrink[i % 4 / 2];
  };
  const auto round_weights = [&] {
#pragma unroll
    for (int step = 0; step < 4; ++step)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* const pair = s + 4 * (step * 2 + i / 2) + i % 2 * 2;
        p[step][i] = round_pair<kIsFp8>(pair[0], pair[1]);
      }
  };
  const auto is_last_of_leaf = [&](int tile) {
    return tile % kLeafTiles == kLeafTiles - 1 || tile == num_tiles - 1;
  };
  /// Folds a leaf of these maxima, and begins the next one.
  const auto fold_leaf = [&](const float(&leaf_maxima)[2]) {
    LeafFold folds[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      folds[half] = fold_maxima(total_maxima[half], leaf_maxima[half], c);
      total_sums[half] = folds[half](total_sums[half], sums[half * 2]);
    }
    total.fold(o, folds);
#pragma unroll
    for (int n = 0; n < 4; ++n) sums[n] = 0;
#pragma unroll
    for (int i = 0; i < Shape::kSums; ++i) o[i] = 0;
  };

  if constexpr (!Shape::kTakesTurns) {
    if (kIsFp8) {
      wait_for_copies<kAsked - 1>();
      convert_keys(0);
      if (!Shape::kIsWide) {
        convert_values(0);
        ask_for(kAsked);
      }
    }
    for (int tile = 0; tile < num_tiles; ++tile) {
      if (!kIsFp8) wait_for_copies<kAsked - 1>();
      publish_operands();
      __syncthreads();
      if (!kIsFp8) ask_for(tile + kAsked);
      multiply_keys(tile);
      if (kIsFp8 && Shape::kIsWide) {
        convert_values(tile);
        ask_for(tile + kAsked);
        publish_operands();
      } else if (kIsFp8 && tile + 1 < num_tiles) {
        wait_for_copies<kAsked - 1>();
        convert_keys(tile + 1);
        convert_values(tile + 1);
        ask_for(tile + 1 + kAsked);
      }
      wait_for_products<0>();
      if (kIsFp8 && Shape::kIsWide) __syncthreads();
      float shrink[2];
      weigh(tile, shrink);
      rescale(shrink);
      round_weights();
      multiply_values(tile);
      sum_weights();
      if (kIsFp8 && Shape::kIsWide && tile + 1 < num_tiles) {
        wait_for_copies<kAsked - 1>();
        convert_keys(tile + 1);
      }
      wait_for_products<0>();
      settle(o);
      if (!is_last_of_leaf(tile)) continue;
      fold_leaf(maxima);
      maxima[0] = maxima[1] = -INFINITY;
    }
  } else {
    // In round `tile` a warpgroup multiplies K of the next tile and V of this one, and weighs the
    // next one's scores. They may be a round apart: what the other may still read is not written.
    TurnBarriers& barriers = *reinterpret_cast<TurnBarriers*>(total_memory + Shape::kTotalBytes);
    constexpr int kWarps = Shape::kThreads / 32;
    const int warpgroup = warp / 4;
    if (threadIdx.x == 0) {
      for (SharedBarrier& turn : barriers.turns) init_barrier(&turn, kWarps / 2);
      init_barrier(&barriers.ready, kWarps);
      for (SharedBarrier& round : barriers.rounds) init_barrier(&round, kWarps);
      publish_barriers();
    }
    const auto tell = [&](SharedBarrier& barrier) {
      __syncwarp();
      if (lane == 0) arrive(&barrier);
    };
    if (kIsFp8) {
      wait_for_copies<kAsked - 1>();
      convert_keys(0);
      convert_values(0);
      ask_for(kAsked);
      wait_for_copies<kAsked - 1>();
      if (num_tiles > 1) convert_keys(1);
    } else {
      wait_for_copies<kAsked - 2>();
    }
    publish_operands();
    __syncthreads();
    float shrink[2];
    multiply_keys(0);
    wait_for_products<0>();
    weigh(0, shrink);
    round_weights();
    for (int tile = 0; tile + 1 < num_tiles; ++tile) {
      const uint32_t parity = static_cast<uint32_t>(tile) % 2;
      wait_for_phase(&barriers.turns[warpgroup], warpgroup == 0 ? parity ^ 1 : parity);
      wait_for_phase(&barriers.ready, parity ^ 1);  // of the round before
      multiply_keys(tile + 1);
      multiply_values(tile);
      tell(barriers.turns[1 - warpgroup]);

      wait_for_phase(&barriers.rounds[parity],
                     static_cast<uint32_t>(tile) / 2 % 2 ^ 1);  // two rounds ago
      if (kIsFp8) {
        wait_for_copies<kAsked - 2>();
        if (tile + 2 < num_tiles) convert_keys(tile + 2);
        convert_values(tile + 1);
        ask_for(tile + 1 + kAsked);
      } else {
        ask_for(tile + kAsked);
        wait_for_copies<kAsked - 2>();
      }
      publish_operands();
      tell(barriers.ready);

      const float leaf_maxima[2] = {maxima[0], maxima[1]};
      if (is_last_of_leaf(tile)) maxima[0] = maxima[1] = -INFINITY;
      wait_for_products<1>();
      weigh(tile + 1, shrink);
      wait_for_products<0>();
      settle(o);
      tell(barriers.rounds[parity]);
      sum_weights();  // not behind the products: it waits for the tensor cores
      if (is_last_of_leaf(tile)) fold_leaf(leaf_maxima);
      rescale(shrink);
      round_weights();
    }
    if (num_tiles > 1) wait_for_phase(&barriers.ready, static_cast<uint32_t>(num_tiles) % 2);
    multiply_values(num_tiles - 1);
    sum_weights();
    wait_for_products<0>();
    settle(o);
    fold_leaf(maxima);
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
  for (int t = 0; t < Shape::kSums / 4; ++t) {
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
