// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/attention_tiles.cuh"

/// What warps do with 16 rows of Q and a tile in shared memory, and the state of these rows. With
/// g = lane / 4 and j = lane % 4 a lane has rows g and g + 8.
namespace veloz::cuda {

constexpr int kQuarterPositions = kTilePositions / 4;  // whose scores a warp finds at a time
// Rows of P of a tile are 16 bytes longer than they need be, so that eight of them lie in different
// banks.
constexpr int kWeightRowBytes = kTilePositions * 2 + 16;
constexpr int kWeightBytes = kRowBlock * kWeightRowBytes;

/// S of 16 rows and quarter `quarter` of a tile's positions, as two tiles of 8.
template <bool kIsFp8, int kHeadDim>
__device__ inline void multiply_keys(float (&s)[2][4], const unsigned char* k,
                                     const uint32_t (&q)[kHeadDim / 16][4], int quarter, int lane) {
  constexpr int kRowBytes = kHeadDim * (kIsFp8 ? 1 : 2);
  const int row = quarter * kQuarterPositions + lane / 16 * 8 + lane % 8;
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

/// Hides what the lane's rows do not see of those scores, the first of which are of `position`, and
/// finds the rows' maxima.
__device__ inline void hide_unseen(float (&s)[2][4], float (&maxima)[2], int position, int j,
                                   const int (&num_seen)[2]) {
  maxima[0] = maxima[1] = -INFINITY;
#pragma unroll
  for (int t = 0; t < 2; ++t)
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      if (position + t * 8 + 2 * j + n % 2 >= num_seen[n / 2]) s[t][n] = -INFINITY;
      maxima[n / 2] = fmaxf(maxima[n / 2], s[t][n]);
    }
#pragma unroll
  for (float& maximum : maxima) {
    maximum = fmaxf(maximum, __shfl_xor_sync(kFullMask, maximum, 1));
    maximum = fmaxf(maximum, __shfl_xor_sync(kFullMask, maximum, 2));
  }
}

/// P of row g (half 0) or g + 8 (half 1), of positions 8 t + 2j and 8 t + 2j + 1 of the quarter.
template <bool kIsFp8>
__device__ inline uint32_t weight_pair(const float (&s)[2][4], int half, int t, float c,
                                       float shift) {
  return round_pair<kIsFp8>(weight(s[t][half * 2], c, shift), weight(s[t][half * 2 + 1], c, shift));
}
/// Its byte in P of a tile.
__device__ inline int weight_offset(int quarter, int half, int t, int g, int j) {
  return (half * 8 + g) * kWeightRowBytes + (quarter * kQuarterPositions + t * 8 + 2 * j) * 2;
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

/// O += P V, and the sums of P: of the columns that begin with chunk first_chunk of the rows of V,
/// which have kRowBytes. With codes, tiles 2i and 2i + 1 of O hold the
/// even and the odd channels of 16.
template <bool kIsFp8, int kRowBytes, bool kIsPartial, int kOutTiles>
__device__ inline void multiply_values(float (&o)[kOutTiles][4], float (&sums)[4],
                                       const unsigned char* v, const unsigned char* weights,
                                       const bool (&are_meant)[2], int first_chunk, int lane) {
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

  /// The rows' maxima become `maximum`; weights are relative to the base that this returns.
  __device__ float raise(int half, float maximum, float c) {
    const float base = finite_base(maximum);
    const float shrink = rescaling(maxima[half], base, c);
    maxima[half] = maximum;
#pragma unroll
    for (int n = half * 2; n < half * 2 + 2; ++n) {
      sums[n] *= shrink;
#pragma unroll
      for (int t = 0; t < kOutTiles; ++t) o[t][n] *= shrink;
    }
    return base;
  }
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

/// Folds the leaves of a row in order, two columns of it.
class PairFold {
 public:
  explicit __device__ PairFold(float c) : c_(c) {}

  /// `sums`: maximum and sum.
  __device__ void add(float2 sums, float2 o) {
    const LeafFold fold = fold_maxima(maximum_, sums.x, c_);
    sum_ = fold(sum_, sums.y);
    out_.x = fold(out_.x, o.x);
    out_.y = fold(out_.y, o.y);
  }

  __device__ uint32_t output(float v_scale) const {
    const float scale = output_scale(sum_, v_scale);
    return to_bf16x2(out_.x * scale, out_.y * scale);
  }

 private:
  float c_;
  float maximum_ = -INFINITY;
  float sum_ = 0;
  float2 out_{0, 0};
};

}  // namespace veloz::cuda
