// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/attention_tiles.cuh"

/// What the kernels of decoding share: a thread block has 16 rows of Q, and its four warps go
/// through tiles together. They take 16 positions each for the scores, exchange maxima and weights
/// through shared memory, and take a quarter of the columns each for the output. Eight warps with
/// two tiles at once were 4 to 9 % faster for one sequence on an H200, and a third slower for eight
/// long ones.
namespace veloz::cuda {

constexpr int kDecodeWarps = 4;
constexpr int kDecodeThreads = kDecodeWarps * 32;
constexpr int kWarpPositions = kTilePositions / kDecodeWarps;  // of whose scores a warp takes care
// Rows of P are 16 bytes longer than they need be, so that eight of them lie in different banks.
constexpr int kWeightRowBytes = kTilePositions * 2 + 16;

/// Where a thread block keeps things, and how many share a multiprocessor.
template <bool kIsFp8, int kHeadDim>
struct DecodeShape {
  static constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);
  static constexpr int kStageBytes = 2 * kTilePositions * kRowBytes;
  static constexpr int kStages = kStageBytes <= 16384 ? 4 : 3;
  static constexpr int kWeightBytes = kRowBlock * kWeightRowBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes + kWeightBytes +
                                      kDecodeWarps * kRowBlock * static_cast<int>(sizeof(float));
  // With all but one stage under way these are 96 KiB per multiprocessor with rows of 64 bytes,
  // 144 KiB with 128, and 128 KiB beyond. A fourth thread block of 128 would spill registers.
  static constexpr int kBlocks = kStageBytes <= 8192    ? 4
                                 : kStageBytes <= 16384 ? 3
                                 : kStageBytes <= 32768 ? 2
                                                        : 1;
  static constexpr int kColumns = kHeadDim / kDecodeWarps;  // of O, per warp
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

/// Of both rows of a lane or, where kIsPartial, of those asked for: another's P of 0 would make NaN
/// of a value that is not finite.
template <bool kIsFp8, bool kIsPartial>
__device__ inline void multiply_rows(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                     uint32_t b1, const bool (&are_meant)[2]) {
  if (!kIsPartial) return multiply<kIsFp8>(d, a, b0, b1);
  float sum[4] = {d[0], d[1], d[2], d[3]};
  multiply<kIsFp8>(sum, a, b0, b1);
#pragma unroll
  for (int n = 0; n < 4; ++n)
    if (are_meant[n / 2]) d[n] = sum[n];
}

/// O of the warp's columns += P V, and the sums of P. With codes, tiles 2i and 2i + 1 of O hold the
/// even and the odd channels of 16.
template <bool kIsFp8, int kHeadDim, bool kIsPartial, int kOutTiles>
__device__ inline void multiply_values(float (&o)[kOutTiles][4], float (&sums)[4],
                                       const unsigned char* v, const unsigned char* weights,
                                       const bool (&are_meant)[2], int warp, int lane) {
  constexpr int kRowBytes = DecodeShape<kIsFp8, kHeadDim>::kRowBytes;
  const int first_chunk = warp * (kRowBytes / kDecodeWarps / 16);
  const unsigned char* const p_row = weights + lane % 16 * kWeightRowBytes + lane / 16 * 16;
  if (kIsFp8) {
#pragma unroll(kIsPartial ? 1 : 2)
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
          multiply_rows<kIsFp8, kIsPartial>(o[2 * c], p[i], even[2 * i], even[2 * i + 1],
                                            are_meant);
          multiply_rows<kIsFp8, kIsPartial>(o[2 * c + 1], p[i], odd[2 * i], odd[2 * i + 1],
                                            are_meant);
        }
      }
    }
  } else {
#pragma unroll(kIsPartial ? 1 : 4)
    for (int step = 0; step < 4; ++step) {
      uint32_t p[4];
      load_matrices(p, p_row + step * 32);
      add_row_sums<kIsFp8>(sums, p);
#pragma unroll
      for (int c = 0; c < kOutTiles; c += 2) {
        uint32_t r[4];  // positions 0-7 and 8-15 of a chunk, then of the next
        load_matrices_transposed(
            r, v + chunk_offset<kRowBytes>(step * 16 + lane % 16, first_chunk + c + lane / 16));
        multiply_rows<kIsFp8, kIsPartial>(o[c], p, r[0], r[1], are_meant);
        multiply_rows<kIsFp8, kIsPartial>(o[c + 1], p, r[2], r[3], are_meant);
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

/// Folds a leaf into those before it.
template <int kOutTiles>
__device__ inline void fold_leaf(RowState<kOutTiles>& total, const RowState<kOutTiles>& leaf,
                                 float c) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const LeafFold fold = fold_maxima(total.maxima[half], leaf.maxima[half], c);
    total.sums[half * 2] = fold(total.sums[half * 2], leaf.sums[half * 2]);
#pragma unroll
    for (int t = 0; t < kOutTiles; ++t)
#pragma unroll
      for (int n = half * 2; n < half * 2 + 2; ++n)
        total.o[t][n] = fold(total.o[t][n], leaf.o[t][n]);
  }
}

/// A thread's part in the work on 16 rows of Q. `Rows` is SequenceRows or of the same shape.
template <bool kIsFp8, int kHeadDim, typename Rows>
class DecodeThread {
 public:
  using Shape = DecodeShape<kIsFp8, kHeadDim>;
  using State = RowState<Shape::kOutTiles>;

  /// Rows first_row ... + 15. All of the thread block's shared memory is of Shape::kSharedBytes.
  __device__ DecodeThread(const Rows& rows, int first_row)
      : rows_(rows),
        first_row_(first_row),
        c_(rows.params.score_scale),
        weights_(dynamic_shared() + Shape::kStages * Shape::kStageBytes),
        warp_maxima_(reinterpret_cast<float*>(weights_ + Shape::kWeightBytes)),
        warp_(static_cast<int>(threadIdx.x) / 32),
        lane_(static_cast<int>(threadIdx.x) % 32),
        g_(lane_ / 4),
        j_(lane_ % 4) {
    const Bf16* const queries[2] = {rows.query(row(0), kHeadDim), rows.query(row(1), kHeadDim)};
#pragma unroll
    for (int step = 0; step < Shape::kSteps; ++step)
      load_query<kIsFp8>(q_[step], queries, step, j_);
  }

  /// Of this lane's two.
  __device__ int row(int half) const { return first_row_ + half * 8 + g_; }

  /// Adds the tile that lies at `stage`, of which the lane's rows see num_seen positions. Where
  /// kIsPartial, the state of rows that see nothing of it is not touched.
  template <bool kIsPartial>
  __device__ void add_tile(State& leaf, const unsigned char* stage, int tile,
                           const int (&num_seen)[2]) const {
    float s[2][4] = {};
    multiply_keys<kIsFp8, kHeadDim>(s, stage, q_, warp_, lane_);
    const int first_position = tile * kTilePositions + warp_ * kWarpPositions + 2 * j_;
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
      if (j_ == 0) warp_maxima_[warp_ * kRowBlock + half * 8 + g_] = maxima[half];
    }
    __syncthreads();

    float shrink[2], shift[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float maximum = leaf.maxima[half];
#pragma unroll
      for (int w = 0; w < kDecodeWarps; ++w)
        maximum = fmaxf(maximum, warp_maxima_[w * kRowBlock + half * 8 + g_]);
      const float base = finite_base(maximum);
      shrink[half] = rescaling(leaf.maxima[half], base, c_);
      shift[half] = -base * c_;
      leaf.maxima[half] = maximum;
#pragma unroll
      for (int t = 0; t < 2; ++t)
        *reinterpret_cast<uint32_t*>(weights_ + (half * 8 + g_) * kWeightRowBytes +
                                     (warp_ * kWarpPositions + t * 8 + 2 * j_) * 2) =
            round_pair<kIsFp8>(weight(s[t][half * 2], c_, shift[half]),
                               weight(s[t][half * 2 + 1], c_, shift[half]));
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      leaf.sums[n] *= shrink[n / 2];
#pragma unroll
      for (int t = 0; t < Shape::kOutTiles; ++t) leaf.o[t][n] *= shrink[n / 2];
    }
    __syncthreads();

    const bool are_meant[2] = {num_seen[0] > 0, num_seen[1] > 0};
    multiply_values<kIsFp8, kHeadDim, kIsPartial>(leaf.o, leaf.sums, stage + Shape::kStageBytes / 2,
                                                  weights_, are_meant, warp_, lane_);
  }

  /// Leaf `leaf_idx` of the thread block's rows, for another kernel to fold.
  __device__ void store_leaf(const State& leaf, int64_t unit, int leaf_idx) const {
    const AttentionParams& params = rows_.params;
    const int64_t base = (unit * params.num_leaves + leaf_idx) * kRowBlock;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = base + half * 8 + g_;
      if (row(half) >= rows_.count()) continue;
      if (warp_ == 0 && j_ == 0)
        params.partial_sums[at] = float2{leaf.maxima[half], leaf.sums[half * 2]};
      float* const to = params.partial_outputs + at * kHeadDim + warp_ * Shape::kColumns;
#pragma unroll
      for (int t = 0; t < Shape::kOutTiles; ++t) {
        const OutputPair pair = output_pair<kIsFp8>(leaf.o, t, half, j_);
        *reinterpret_cast<float2*>(to + pair.column) = float2{pair.x, pair.y};
      }
    }
  }

  __device__ void store_output(const State& total) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (row(half) >= rows_.count()) continue;
      const float scale = output_scale(total.sums[half * 2], rows_.params.v_scale);
      Bf16* const y = rows_.output(row(half), kHeadDim) + warp_ * Shape::kColumns;
#pragma unroll
      for (int t = 0; t < Shape::kOutTiles; ++t) {
        const OutputPair pair = output_pair<kIsFp8>(total.o, t, half, j_);
        *reinterpret_cast<uint32_t*>(y + pair.column) = to_bf16x2(pair.x * scale, pair.y * scale);
      }
    }
  }

 private:
  const Rows& rows_;
  int first_row_;
  float c_;
  unsigned char* weights_;  // P of the tile, [kRowBlock] rows of kWeightRowBytes
  float* warp_maxima_;      // [kDecodeWarps, kRowBlock], of the tile's scores
  int warp_;
  int lane_;
  int g_;
  int j_;
  uint32_t q_[Shape::kSteps][4];
};

}  // namespace veloz::cuda
