// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>

#include "ops/kv_layout.h"
#include "support/tensors.h"

/// The KV cache between the ops' references, which keep it as the CPU does (ops/kv_layout.h), and
/// the GPU, where it is plain: [num_blocks, 2, num_kv_heads, block_size, row_extent].
namespace veloz::cuda {

enum class CacheWay { to_plain, from_plain };

inline void move_cache(const TensorView& from, const TensorView& to, CacheWay way) {
  const TensorView& cpu = way == CacheWay::to_plain ? from : to;
  const ops::KvLayout layout = ops::KvLayout::of(cpu);
  const size_t bytes = dtype_bytes(cpu.dtype);
  const auto move = [&](int64_t cpu_index, int64_t plain_index, size_t count) {
    const bool is_to = way == CacheWay::to_plain;
    std::memcpy(to.as<std::byte>() + static_cast<size_t>(is_to ? plain_index : cpu_index) * bytes,
                from.as<std::byte>() + static_cast<size_t>(is_to ? cpu_index : plain_index) * bytes,
                count);
  };
  for (int64_t slot = 0; slot < layout.num_blocks * layout.block_size; ++slot)
    for (int64_t head = 0; head < layout.num_kv_heads; ++head) {
      const int64_t k_row =
          ((slot / layout.block_size * 2 * layout.num_kv_heads + head) * layout.block_size +
           slot % layout.block_size) *
          layout.row_extent;
      const int64_t v_row = k_row + layout.half_block();
      for (int64_t d = 0; d < layout.head_dim; ++d) {
        move(layout.k_index(slot, head, d), k_row + d, bytes);
        move(layout.v_index(slot, head, d), v_row + d, bytes);
      }
      if (cpu.dtype != DType::int8) continue;
      move(layout.k_scale_index(slot, head), k_row + layout.head_dim, ops::kKvScaleBytes);
      move(layout.v_scale_index(slot, head), v_row + layout.head_dim, ops::kKvScaleBytes);
    }
}

/// The same cache as it lies on the GPU.
inline test::OwnedTensor plain_cache(const TensorView& cpu) {
  test::OwnedTensor plain(cpu.dtype, cpu.shape);
  move_cache(cpu, plain.view(), CacheWay::to_plain);
  return plain;
}

}  // namespace veloz::cuda
