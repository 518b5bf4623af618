// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/attention_products.cuh"

/// What the kernels of decoding share: a thread block has 16 rows of Q, and its four warps go
/// through tiles together. They take 16 positions each for the scores, exchange maxima and weights
/// through shared memory, and take a quarter of the columns each for the output. Eight warps with
/// two tiles at once were 4 to 9 % faster for one sequence on an H200, and a third slower for eight
/// long ones.
namespace veloz::cuda {

constexpr int kDecodeWarps = 4;
constexpr int kDecodeThreads = kDecodeWarps * 32;

/// Where a thread block keeps things, and how many share a multiprocessor.
template <bool kIsFp8, int kHeadDim>
struct DecodeShape {
  static constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);
  static constexpr int kStageBytes = 2 * kTilePositions * kRowBytes;
  static constexpr int kStages = kStageBytes <= 16384 ? 4 : 3;
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
        warp_maxima_(reinterpret_cast<float*>(weights_ + kWeightBytes)),
        warp_(static_cast<int>(threadIdx.x) / 32),
        lane_(static_cast<int>(threadIdx.x) % 32),
        g_(lane_ / 4),
        j_(lane_ % 4) {
    const Bf16* const queries[2] = {rows.query(row(0), kHeadDim), rows.query(row(1), kHeadDim)};
    load_query<kIsFp8>(q_, queries, j_);
    convert_query<kIsFp8>(q_, queries);
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
    float maxima[2];
    hide_unseen(s, maxima, tile * kTilePositions + warp_ * kQuarterPositions, j_, num_seen);
#pragma unroll
    for (int half = 0; half < 2; ++half)
      if (j_ == 0) warp_maxima_[warp_ * kRowBlock + half * 8 + g_] = maxima[half];
    __syncthreads();

#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float maximum = leaf.maxima[half];
#pragma unroll
      for (int w = 0; w < kDecodeWarps; ++w)
        maximum = fmaxf(maximum, warp_maxima_[w * kRowBlock + half * 8 + g_]);
      const float shift = -leaf.raise(half, maximum, c_) * c_;
#pragma unroll
      for (int t = 0; t < 2; ++t)
        *reinterpret_cast<uint32_t*>(weights_ + weight_offset(warp_, half, t, g_, j_)) =
            weight_pair<kIsFp8>(s, half, t, c_, shift);
    }
    __syncthreads();

    const bool are_meant[2] = {num_seen[0] > 0, num_seen[1] > 0};
    multiply_values<kIsFp8, Shape::kRowBytes, kIsPartial>(
        leaf.o, leaf.sums, stage + Shape::kStageBytes / 2, weights_, are_meant,
        warp_ * (Shape::kRowBytes / kDecodeWarps / 16), lane_);
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
