// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/tensor_view.h"

namespace veloz::ops {

/// Bytes at the end of a row of an int8 cache that hold its fp32 scale.
inline constexpr int64_t kKvScaleBytes = 4;

inline bool is_kv_cache_dtype(DType dtype) {
  return dtype == DType::fp32 || dtype == DType::bf16 || dtype == DType::fp8_e4m3 ||
         dtype == DType::int8;
}

/// Last extent of a cache: what one head of one position takes, in elements.
inline int64_t kv_row_extent(DType dtype, int64_t head_dim) {
  return dtype == DType::int8 ? head_dim + kKvScaleBytes : head_dim;
}

/// Where an element of the paged KV cache lies on the CPU. A cache view has the logical shape
/// [num_blocks, 2 (k, v), num_kv_heads, block_size, kv_row_extent]. Inside a block,
///   K of a head is [head_dim / g, block_size, g], g elements of one dot-product group: SIMD lanes
///     are positions, so q.k needs no horizontal sum;
///   V of a head is [block_size / h, head_dim, h]: lanes are channels of the output.
/// g is 1 in fp32 and 2 otherwise, so that the codes of fp8 and int8 stand in the order of the bf16
/// they are turned into. head_dim is even (rotary embedding needs pairs), so groups are whole.
/// h is 2 in int8, whose products with integer weights are of pairs of positions too (1 where
/// block_size is odd), and 1 otherwise.
/// In int8 the scales of a head's positions follow its codes together: fp32 [block_size].
struct KvLayout {
  int64_t num_blocks;
  int64_t num_kv_heads;
  int64_t block_size;
  int64_t row_extent;
  int64_t head_dim;
  int64_t group;    // g
  int64_t v_group;  // h

  static KvLayout of(const TensorView& cache) {
    const int64_t row_extent = cache.shape[4];
    return {cache.shape[0],
            cache.shape[2],
            cache.shape[3],
            row_extent,
            cache.dtype == DType::int8 ? row_extent - kKvScaleBytes : row_extent,
            cache.dtype == DType::fp32 ? 1 : 2,
            cache.dtype == DType::int8 && cache.shape[3] % 2 == 0 ? 2 : 1};
  }
  int64_t half_block() const { return num_kv_heads * block_size * row_extent; }
  /// Element index of K[slot, kv_head, d]; slot = block * block_size + position in the block.
  int64_t k_index(int64_t slot, int64_t kv_head, int64_t d) const {
    return k_head(slot, kv_head) + (d / group * block_size + slot % block_size) * group + d % group;
  }
  int64_t v_index(int64_t slot, int64_t kv_head, int64_t d) const {
    const int64_t position = slot % block_size;
    return k_head(slot, kv_head) + half_block() + (position / v_group * head_dim + d) * v_group +
           position % v_group;
  }
  /// Of the scale's first byte, in int8.
  int64_t k_scale_index(int64_t slot, int64_t kv_head) const {
    return k_head(slot, kv_head) + block_size * head_dim + slot % block_size * kKvScaleBytes;
  }
  int64_t v_scale_index(int64_t slot, int64_t kv_head) const {
    return k_scale_index(slot, kv_head) + half_block();
  }

 private:
  int64_t k_head(int64_t slot, int64_t kv_head) const {
    return slot / block_size * 2 * half_block() + kv_head * block_size * row_extent;
  }
};

}  // namespace veloz::ops
