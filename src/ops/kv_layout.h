// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/tensor_view.h"

namespace veloz::ops {

/// Where an element of the paged KV cache lies on the CPU. A cache view has the logical shape
/// [num_blocks, 2 (k, v), num_kv_heads, block_size, head_dim]. Inside a block,
///   K is [num_kv_heads, head_dim / g, block_size, g], g = 4 / sizeof(dtype) elements of one
///   dot-product
///     group: SIMD lanes are positions, so q.k needs no horizontal sum;
///   V is [num_kv_heads, block_size, head_dim]: lanes are channels of the output.
/// head_dim is even (rotary embedding needs pairs), so groups are whole.
struct KvLayout {
  int64_t num_blocks;
  int64_t num_kv_heads;
  int64_t block_size;
  int64_t head_dim;
  int64_t group;  // g

  static KvLayout of(const TensorView& cache) {
    return {cache.shape[0], cache.shape[2], cache.shape[3], cache.shape[4],
            cache.dtype == DType::fp32 ? 1 : 2};
  }
  int64_t half_block() const { return num_kv_heads * block_size * head_dim; }
  /// Element index of K[slot, kv_head, d]; slot = block * block_size + position in the block.
  int64_t k_index(int64_t slot, int64_t kv_head, int64_t d) const {
    const int64_t block = slot / block_size;
    const int64_t position = slot % block_size;
    return block * 2 * half_block() +
           ((kv_head * (head_dim / group) + d / group) * block_size + position) * group + d % group;
  }
  int64_t v_index(int64_t slot, int64_t kv_head, int64_t d) const {
    const int64_t block = slot / block_size;
    const int64_t position = slot % block_size;
    return block * 2 * half_block() + half_block() + (kv_head * block_size + position) * head_dim +
           d;
  }
};

}  // namespace veloz::ops
