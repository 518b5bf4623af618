// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ostream>
#include <vector>

#include "ops/kv_layout.h"
#include "support/op_runs.h"

/// Rows on their way into a cache, for tests of kv_append and rope_append.
namespace veloz::test {

struct DTypes {
  DType x;
  DType cache;
};
inline void PrintTo(const DTypes& dtypes, std::ostream* out) {
  *out << to_string(dtypes.x) << "_to_" << to_string(dtypes.cache);
}
/// What rows are, and what they become in the cache.
inline std::vector<DTypes> all_kv_dtypes() {
  std::vector<DTypes> all;
  for (const DType x : {DType::fp32, DType::bf16})
    for (const DType cache : {DType::fp32, DType::bf16, DType::fp8_e4m3, DType::int8})
      all.push_back({x, cache});
  return all;
}

/// Random rows with all that rounding and saturation have cases for, `gap` elements between them.
inline OwnedTensor random_kv_rows(DType dtype, int64_t num_tokens, int64_t width, int64_t gap,
                                  uint64_t seed) {
  OwnedTensor rows = random_tensor(dtype, {num_tokens, width}, seed,
                                   {.low = -3, .high = 3, .row_stride = width + gap});
  const double special[] = {0, 1e-35, 1e4, -1e4, std::nan(""), INFINITY, 0x1p-9, -0.0};
  for (int64_t t = 3; t < num_tokens; t += 4)  // every fourth row
    set_element(rows.view(), t * width + (t * 13) % width, special[t / 4 % 8]);
  if (num_tokens > 2)
    for (int64_t i = 0; i < width; ++i) set_element(rows.view(), 2 * width + i, 0);
  return rows;
}

/// Distinct, not in order.
inline OwnedTensor scattered_slots(int64_t num_tokens, int64_t num_slots) {
  std::vector<int64_t> all(static_cast<size_t>(num_tokens));
  for (int64_t t = 0; t < num_tokens; ++t) all[static_cast<size_t>(t)] = t * 7 % num_slots;
  std::ranges::sort(all);
  EXPECT_EQ(std::ranges::adjacent_find(all), all.end());
  std::ranges::reverse(all);
  return tensor_of(Shape{num_tokens}, all);
}

/// A cache whose every byte would show where it was not to be written.
inline OwnedTensor marked_cache(DType dtype, int64_t num_blocks, int64_t num_kv_heads,
                                int64_t block_size, int64_t head_dim) {
  OwnedTensor cache(dtype,
                    {num_blocks, 2, num_kv_heads, block_size, ops::kv_row_extent(dtype, head_dim)});
  std::memset(cache.view().data, 0x3c, cache.view().num_bytes());
  return cache;
}

/// Attributes of kv_append into such a cache.
inline ops::Attrs kv_append_attrs(DType cache, int64_t num_kv_heads, int64_t head_dim) {
  ops::Attrs attrs{{"num_kv_heads", num_kv_heads}, {"head_dim", head_dim}};
  if (cache == DType::fp8_e4m3) {
    attrs.set("k_scale", 0.3);
    attrs.set("v_scale", 17.0);
  }
  return attrs;
}

}  // namespace veloz::test
