// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/attention_plan.h"
#include "cuda/gpu.h"
#include "cuda/numeric.h"
#include "cuda/ptx/async_copy.h"
#include "cuda/ptx/matrix.h"

/// What the tensor-core kernels of attention share. All that decides a result's bits stands here or
/// is fixed by the comment at the top of attention_plan.h: a token's output is the same, bit for
/// bit, whichever kernel and batch it passes through.
///
/// Of each tile of 64 positions: scores S = Q K^T in fp32, in order over head_dim; the running
/// maximum m of the leaf; weights P = 2^(S c - m c), rounded to 16 bits; O and the sum of the
/// rounded P (as a product with ones) rescaled and then added to in four steps of 16 positions.
/// Tiles and leaves of which a row sees nothing leave its state as it is, exactly: their P is 0
/// and the factor of what was there is 2^0.
///
/// With a cache of fp8_e4m3 its codes become fp16 (exact), and so do Q (saturating) and P; in a
/// step of 16 channels, slots (2j, 2j+1, 2j+8, 2j+9) of the product hold channels 4j ... 4j+3, as
/// that is how a lane finds codes in shared memory.
namespace veloz::cuda {

constexpr unsigned kFullMask = 0xffffffffu;

struct AttentionParams {
  const Bf16* q;
  const unsigned char* cache;
  Bf16* y;
  const int32_t* q_starts;
  const int32_t* q_lens;
  const int32_t* kv_lens;
  const int32_t* block_tables;
  float* partial_outputs;  // [units, leaves, kRowBlock, head_dim]
  float2* partial_sums;    // [units, leaves, kRowBlock] (maximum, sum)
  int64_t q_stride;
  int64_t y_stride;
  int64_t table_stride;
  int num_seqs;
  int num_heads;
  int num_kv_heads;
  int group;  // heads of q per kv head
  int block_size;
  unsigned block_inverse;  // 2^32 / block_size, rounded up
  int num_leaves;          // that a block table has room for
  int max_positions;       // likewise
  float score_scale;       // c: from S to powers of 2
  float v_scale;
};

/// Byte of a 16-byte chunk in a tile whose rows have kRowBytes: placed so that the eight rows of a
/// matrix lie in different banks.
template <int kRowBytes>
__device__ inline int chunk_offset(int row, int chunk) {
  static_assert(kRowBytes == 32 || kRowBytes == 64 || kRowBytes % 128 == 0,
                "rows share or fill lines of 128 bytes");
  const int turn = kRowBytes == 32 ? (row >> 2) & 1 : kRowBytes == 64 ? (row >> 1) & 3 : row & 7;
  return row * kRowBytes + ((chunk ^ turn) << 4);
}

/// The same in panels of 128 bytes of kTilePositions rows, which is how products of warpgroups
/// read.
constexpr int kPanelBytes = kTilePositions * 128;
__device__ inline int panel_offset(int row, int chunk) {
  return chunk / 8 * kPanelBytes + row * 128 + ((chunk % 8 ^ (row & 7)) << 4);
}

/// position / block_size: exact below 2^32 / block_size.
__device__ inline int table_index(int position, unsigned block_inverse) {
  return static_cast<int>(__umulhi(static_cast<unsigned>(position), block_inverse));
}

/// Brings tiles of K and V of a sequence and head into shared memory; zeros beyond its length.
/// Each thread copies chunk `thread % kChunks` of every kRowsPerPass-th row. Block numbers are
/// fetched one tile ahead of the copies that need them.
template <int kThreads, int kRowBytes, bool kIsPanelled = false>
class TileLoader {
 public:
  static constexpr int kTileBytes = kTilePositions * kRowBytes;

  __device__ TileLoader(const AttentionParams& params, int seq, int kv_head)
      : table_(params.block_tables + seq * params.table_stride),
        max_positions_(params.max_positions),
        block_size_(params.block_size),
        block_inverse_(params.block_inverse) {
    const int64_t head_bytes = static_cast<int64_t>(params.block_size) * kRowBytes;
    half_bytes_ = params.num_kv_heads * head_bytes;
    row_ = static_cast<int>(threadIdx.x) / kChunks;
    chunk_ = static_cast<int>(threadIdx.x) % kChunks;
    head_ = params.cache + kv_head * head_bytes + chunk_ * 16;
  }

  __device__ void set_sequence(const AttentionParams& params, int seq) {
    table_ = params.block_tables + seq * params.table_stride;
  }

  /// Of any tile, the sequence's or not.
  __device__ void fetch_blocks(int tile) {
#pragma unroll
    for (int e = 0; e < kEntries; ++e) {
      const int position = first_position(tile, e);
      blocks_[e] = position < max_positions_ ? table_[block_of(position)] : 0;
    }
  }

  /// The tile of the last fetch_blocks of a sequence of kv_len. K goes to `to`, V behind it.
  __device__ void copy(int tile, int kv_len, unsigned char* to) const {
#pragma unroll
    for (int e = 0; e < kEntries; ++e) {
      const int position = first_position(tile, e);
      // 16 aligned positions lie in one block.
      const unsigned char* from = head_ + int64_t{blocks_[e]} * 2 * half_bytes_ +
                                  (position - block_of(position) * block_size_) * kRowBytes;
#pragma unroll
      for (int i = 0; i < kPassesPerEntry; ++i) {
        const int step = i * kRowsPerPass;
        const bool is_valid = position + step < kv_len;
        const unsigned char* source = is_valid ? from + step * kRowBytes : head_;
        const int row = row_ + (e * kPassesPerEntry + i) * kRowsPerPass;
        unsigned char* target =
            to + (kIsPanelled ? panel_offset(row, chunk_) : chunk_offset<kRowBytes>(row, chunk_));
        copy_async_16(target, source, is_valid);
        copy_async_16(target + kTileBytes, source + (is_valid ? half_bytes_ : 0), is_valid);
      }
    }
  }

 private:
  static constexpr int kChunks = kRowBytes / 16;
  static constexpr int kRowsPerPass = kThreads / kChunks;
  static constexpr int kPasses = kTilePositions / kRowsPerPass;
  static constexpr int kEntries = kPasses < 4 ? kPasses : 4;
  static constexpr int kPassesPerEntry = kPasses / kEntries;
  static_assert(kRowsPerPass * kPasses == kTilePositions, "threads share a tile evenly");
  static_assert(kPassesPerEntry == 1 || kPassesPerEntry * kRowsPerPass == 16,
                "an entry covers rows of one block");

  __device__ int block_of(int position) const { return table_index(position, block_inverse_); }
  __device__ int first_position(int tile, int e) const {
    return tile * kTilePositions + row_ + e * kPassesPerEntry * kRowsPerPass;
  }

  const int32_t* table_;
  const unsigned char* head_;
  int64_t half_bytes_;
  int max_positions_;
  int block_size_;
  unsigned block_inverse_;
  int row_;
  int chunk_;
  int blocks_[kEntries];
};

/// Two bf16 as two fp16; what is finite stays finite.
__device__ inline uint32_t bf16x2_to_fp16x2(uint32_t pair) {
  constexpr float kLargest = 65504.0f;
  float x[2] = {bit_cast<float>(pair << 16), bit_cast<float>(pair & 0xffff0000u)};
  for (float& value : x) {
    const float magnitude = fabsf(value);
    if (magnitude > kLargest && magnitude < INFINITY) value = value > 0 ? kLargest : -kLargest;
  }
  return to_fp16x2(x[0], x[1]);
}

/// Fragments of Q of rows g and g + 8 (zeros without a row), of steps of 16 channels from
/// `first_step`, as they lie in memory. A row's loads stand together: one after another, each
/// waited for before the next, they would take longer than a tile.
template <bool kIsFp8, int kSteps>
__device__ inline void load_query(uint32_t (&a)[kSteps][4], const Bf16* const (&rows)[2], int j,
                                  int first_step = 0) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint2 pairs[kSteps] = {};  // the first pair of slots, and that 8 further
    if (rows[half] != nullptr) {
      const Bf16* const row = rows[half] + first_step * 16;
#pragma unroll
      for (int step = 0; step < kSteps; ++step)
        pairs[step] = kIsFp8
                          ? *reinterpret_cast<const uint2*>(row + step * 16 + 4 * j)
                          : uint2{*reinterpret_cast<const uint32_t*>(row + step * 16 + 2 * j),
                                  *reinterpret_cast<const uint32_t*>(row + step * 16 + 2 * j + 8)};
    }
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      a[step][half] = pairs[step].x;
      a[step][half + 2] = pairs[step].y;
    }
  }
}
/// Makes of these what is multiplied.
template <bool kIsFp8, int kSteps>
__device__ inline void convert_query(uint32_t (&a)[kSteps][4], const Bf16* const (&rows)[2]) {
  if constexpr (kIsFp8) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (rows[half] == nullptr) continue;
#pragma unroll
      for (int step = 0; step < kSteps; ++step)
#pragma unroll
        for (int i = half; i < 4; i += 2) a[step][i] = bf16x2_to_fp16x2(a[step][i]);
    }
  }
}

template <bool kIsFp8>
__device__ inline void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t b[2] = {b0, b1};
  if (kIsFp8)
    multiply_fp16(d, a, b);
  else
    multiply_bf16(d, a, b);
}
template <bool kIsFp8>
__device__ inline uint32_t round_pair(float low, float high) {
  return kIsFp8 ? to_fp16x2(low, high) : to_bf16x2(low, high);
}
/// The rows' sums of P, in every column.
template <bool kIsFp8>
__device__ inline void add_row_sums(float (&sums)[4], const uint32_t (&p)[4]) {
  constexpr uint32_t kOnes = kIsFp8 ? 0x3c003c00u : 0x3f803f80u;
  multiply<kIsFp8>(sums, p, kOnes, kOnes);
}

/// A maximum to subtract; any where nothing was seen, so that 2^(-inf) gives 0 and no NaN.
__device__ inline float finite_base(float maximum) { return maximum == -INFINITY ? 0.0f : maximum; }
/// 2^((from - base) c): exactly 1 where from is base.
__device__ inline float rescaling(float from, float base, float c) {
  return exp2_fast((from - base) * c);
}
__device__ inline float weight(float score, float c, float shift) {
  return exp2_fast(fmaf(score, c, shift));
}

/// Folds a leaf into what the leaves before it gave: x = leaf's x * leaf + x * before.
struct LeafFold {
  float before;
  float leaf;

  __device__ float operator()(float total, float of_leaf) const {
    return fmaf(of_leaf, leaf, total * before);
  }
};
/// `total` becomes the maximum of both.
__device__ inline LeafFold fold_maxima(float& total, float of_leaf, float c) {
  const float maximum = fmaxf(total, of_leaf);
  const float base = finite_base(maximum);
  const LeafFold fold{rescaling(total, base, c), rescaling(of_leaf, base, c)};
  total = maximum;
  return fold;
}

/// What outputs are multiplied with at the end.
__device__ inline float output_scale(float sum, float v_scale) { return v_scale / sum; }

/// The q rows of one kv head of one sequence, in the order of the kernels' rows.
struct SequenceRows {
  const AttentionParams& params;
  int kv_head;
  int q_start;
  int q_len;
  int kv_len;

  __device__ SequenceRows(const AttentionParams& params_in, int seq, int kv_head_in)
      : params(params_in),
        kv_head(kv_head_in),
        q_start(params.q_starts[seq]),
        q_len(params.q_lens[seq]),
        kv_len(params.kv_lens[seq]) {}

  __device__ int count() const { return q_len * params.group; }
  /// Positions that a row sees; 0 past the end.
  __device__ int num_seen(int row) const {
    return row < count() ? kv_len - q_len + row / params.group + 1 : 0;
  }
  __device__ const Bf16* query(int row, int head_dim) const {
    return row < count() ? params.q + token(row) * params.q_stride + column(row, head_dim)
                         : nullptr;
  }
  __device__ Bf16* output(int row, int head_dim) const {
    return params.y + token(row) * params.y_stride + column(row, head_dim);
  }

 private:
  __device__ int64_t token(int row) const { return q_start + row / params.group; }
  __device__ int64_t column(int row, int head_dim) const {
    return static_cast<int64_t>(kv_head * params.group + row % params.group) * head_dim;
  }
};

}  // namespace veloz::cuda
