// SPDX-License-Identifier: Apache-2.0
#include "api/kv_conversion.h"

#include <cstdint>
#include <cstring>

#include "ops/kv_layout.h"

namespace veloz::api {
namespace {

/// Calls visit(byte in the CPU's layout, byte in the plain one, count) for each element and scale.
template <typename Visit>
void for_each_element(const TensorView& cache, const Visit& visit) {
  const ops::KvLayout layout = ops::KvLayout::of(cache);
  const auto element = static_cast<int64_t>(dtype_bytes(cache.dtype));
  int64_t plain = 0;
  for (int64_t block = 0; block < layout.num_blocks; ++block)
    for (const bool is_k : {true, false})
      for (int64_t head = 0; head < layout.num_kv_heads; ++head)
        for (int64_t offset = 0; offset < layout.block_size; ++offset) {
          const int64_t slot = block * layout.block_size + offset;
          for (int64_t d = 0; d < layout.head_dim; ++d, plain += element) {
            const int64_t index =
                is_k ? layout.k_index(slot, head, d) : layout.v_index(slot, head, d);
            visit(index * element, plain, element);
          }
          if (cache.dtype != DType::int8) continue;
          visit(is_k ? layout.k_scale_index(slot, head) : layout.v_scale_index(slot, head), plain,
                ops::kKvScaleBytes);
          plain += ops::kKvScaleBytes;
        }
}

}  // namespace

void kv_from_plain(const TensorView& cache, const std::byte* plain) {
  for_each_element(cache, [&](int64_t at, int64_t from, int64_t bytes) {
    std::memcpy(cache.as<std::byte>() + at, plain + from, static_cast<size_t>(bytes));
  });
}

void kv_to_plain(const TensorView& cache, std::byte* plain) {
  for_each_element(cache, [&](int64_t at, int64_t to, int64_t bytes) {
    std::memcpy(plain + to, cache.as<const std::byte>() + at, static_cast<size_t>(bytes));
  });
}

}  // namespace veloz::api
