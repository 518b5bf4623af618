// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>

#include "ops/kv_layout.h"
#include "support/tensors.h"

namespace veloz::cuda {

/// The cache of a reference (ops/kv_layout.h) as it lies on the GPU: each row of each head in one
/// piece, in int8 with its scale behind it.
inline test::OwnedTensor plain_cache(const TensorView& cache) {
  const ops::KvLayout layout = ops::KvLayout::of(cache);
  const size_t bytes = dtype_bytes(cache.dtype);
  test::OwnedTensor plain(cache.dtype, cache.shape);
  auto* to = plain.view().as<std::byte>();
  const auto copy = [&](int64_t index, size_t size) {
    std::memcpy(to, cache.as<const std::byte>() + static_cast<size_t>(index) * bytes, size);
    to += size;
  };
  for (int64_t block = 0; block < layout.num_blocks; ++block)
    for (const bool is_k : {true, false})
      for (int64_t head = 0; head < layout.num_kv_heads; ++head)
        for (int64_t i = 0; i < layout.block_size; ++i) {
          const int64_t slot = block * layout.block_size + i;
          for (int64_t d = 0; d < layout.head_dim; ++d)
            copy(is_k ? layout.k_index(slot, head, d) : layout.v_index(slot, head, d), bytes);
          if (cache.dtype == DType::int8)
            copy(is_k ? layout.k_scale_index(slot, head) : layout.v_scale_index(slot, head),
                 ops::kKvScaleBytes);
        }
  return plain;
}

}  // namespace veloz::cuda
