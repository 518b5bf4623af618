// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <type_traits>

#include "cuda/attention_kernels.cuh"
#include "cuda/ptx/barrier.h"
#include "cuda/ptx/wgmma.h"

/// What a thread block of prefill attention is made of: which rows it has, its tiles of K and V on
/// their way from the cache to what is multiplied, and each thread's share of the rows' state.
namespace veloz::cuda {

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
  static constexpr int kTilesBytes = kStages * kStageBytes + kConvertedBytes;
  static constexpr int kSharedBytes = kTilesBytes + kQueryBytes + kTotalBytes + kBarrierBytes;
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
    // Fewer at a time where registers are scarce.
    constexpr int kLoadedSteps = kIsShared ? 4 : kSteps;
#pragma unroll
    for (int first = 0; first < kSteps; first += kLoadedSteps) {
      uint32_t a[kLoadedSteps][4];  // rows g, g + 8; then slots 8 further
      load_query<kIsFp8>(a, rows, j, first);
      convert_query<kIsFp8>(a, rows);
#pragma unroll
      for (int step = 0; step < kLoadedSteps; ++step)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if constexpr (kIsShared)
            *reinterpret_cast<uint32_t*>(
                shared + panel_offset(warp_row + lane / 4 + i % 2 * 8, (first + step) * 2 + i / 2) +
                j * 4) = a[step][i];
          else
            registers_[first + step][i] = a[step][i];
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

/// Tiles of K and V: copied, of fp8 then converted to fp16, and multiplied where they lie.
template <bool kIsFp8, int kHeadDim>
class PrefillTiles {
 public:
  using Shape = PrefillShape<kIsFp8, kHeadDim>;
  /// Tiles under way before the first is used.
  static constexpr int kAsked = Shape::kStages - (kIsFp8 ? 0 : Shape::kTakesTurns ? 2 : 1);

  __device__ PrefillTiles(const AttentionParams& params, int seq, int kv_head,
                          unsigned char* shared)
      : loader_(params, seq, kv_head),
        stages_(shared),
        converted_(shared + Shape::kStages * Shape::kStageBytes) {
    loader_.fetch_blocks(0);
  }
  __device__ void set_length(int kv_len, int num_tiles) {
    kv_len_ = kv_len;
    num_tiles_ = num_tiles;
  }
  __device__ int count() const { return num_tiles_; }
  __device__ bool is_last_of_leaf(int tile) const {
    return tile % kLeafTiles == kLeafTiles - 1 || tile == num_tiles_ - 1;
  }

  /// Begins to copy a tile, the next of all, or nothing past the last: a group of copies.
  __device__ __forceinline__ void ask_for(int tile) {
    if (tile < num_tiles_) {
      loader_.copy(tile, kv_len_, copied(tile));
      loader_.fetch_blocks(tile + 1);
    }
    commit_copies();
  }
  // Each thread converts what it copied: of others' copies it need not know that they came.
  __device__ __forceinline__ void convert_keys(int tile) const {
    convert_tile<true, Shape::kThreads, kHeadDim>(copied(tile), operands(tile));
  }
  __device__ __forceinline__ void convert_values(int tile) const {
    convert_tile<false, Shape::kThreads, kHeadDim>(copied(tile) + Shape::kStageBytes / 2,
                                                   operands(tile) + Shape::kTileBytes);
  }
  __device__ uint64_t keys(int tile) const {
    return matrix_descriptor(shared_address(operands(tile)));
  }
  __device__ uint64_t values(int tile) const {
    return panels_descriptor(shared_address(operands(tile) + Shape::kTileBytes), kPanelBytes);
  }

 private:
  __device__ unsigned char* copied(int tile) const {
    return stages_ + tile % Shape::kStages * Shape::kStageBytes;
  }
  __device__ unsigned char* operands(int tile) const {
    return kIsFp8 ? converted_ + tile % Shape::kPairs * Shape::kPairBytes : copied(tile);
  }

  TileLoader<Shape::kThreads, Shape::kRowBytes, !kIsFp8> loader_;
  unsigned char* stages_;
  unsigned char* converted_;
  int kv_len_ = 0;
  int num_tiles_ = 0;
};

/// A thread's share of its warpgroup's rows: of each fragment, parts of rows g and g + 8.
template <bool kIsFp8, int kHeadDim>
struct PrefillRows {
  using Shape = PrefillShape<kIsFp8, kHeadDim>;

  const float c;          // from S to powers of 2
  const int j;            // lane % 4
  const int num_seen[2];  // positions
  const int seen_by_all;  // of the warp's rows
  LeafTotal<Shape::kThreads, Shape::kSums> total;
  float total_maxima[2] = {-INFINITY, -INFINITY};
  float total_sums[2] = {};
  float o[Shape::kSums] = {};  // of the leaf
  float sums[4] = {};
  float maxima[2] = {-INFINITY, -INFINITY};
  float s[kTilePositions / 2] = {};  // scores, then weights
  uint32_t p[4][4] = {};             // weights, rounded
  float shrink[2] = {};              // what O and the sums before `s` are to be multiplied with

  __device__ __forceinline__ void multiply_keys(
      const Query<kIsFp8, Shape::kSteps, Shape::kIsQueryShared>& query, uint64_t keys) {
#pragma unroll
    for (float& score : s) score = 0;
    begin_products();
    query.multiply_keys(s, keys);
    commit_products();
  }
  __device__ __forceinline__ void multiply_values(uint64_t values) {
    begin_products();
#pragma unroll
    for (int step = 0; step < 4; ++step)
      multiply_registers<AttentionProduct<kIsFp8>, kHeadDim, true>(
          o, p[step], values + descriptor_step(step * 16 * 128));
    commit_products();
  }
  __device__ __forceinline__ void sum_weights() {
#pragma unroll
    for (int step = 0; step < 4; ++step) add_row_sums<kIsFp8>(sums, p[step]);
  }

  /// Scores become weights.
  __device__ __forceinline__ void weigh(int tile) {
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
  }
  /// O and the sums as the weights in `s` want them, and these as they are multiplied.
  __device__ __forceinline__ void take_weights() {
#pragma unroll
    for (int n = 0; n < 4; ++n) sums[n] *= shrink[n / 2];
#pragma unroll
    for (int i = 0; i < Shape::kSums; ++i) o[i] *= shrink[i % 4 / 2];
    round_weights();
  }
  __device__ __forceinline__ void round_weights() {
#pragma unroll
    for (int step = 0; step < 4; ++step)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* const pair = s + 4 * (step * 2 + i / 2) + i % 2 * 2;
        p[step][i] = round_pair<kIsFp8>(pair[0], pair[1]);
      }
  }

  /// Folds a leaf of these maxima into the total, and begins the next one.
  __device__ __forceinline__ void fold_leaf(const float (&leaf_maxima)[2]) {
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
  }
};

}  // namespace veloz::cuda
