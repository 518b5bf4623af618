// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "base/numeric.h"
#include "cuda/attention_plans.h"

/// Steps of decoding sequences that share blocks of the cache.
namespace veloz::cuda {

/// Sequence s has the first shared_blocks[s] blocks of the sequence before it.
struct SharingCase {
  std::vector<int32_t> kv_lens;
  std::vector<int64_t> shared_blocks;
  int64_t num_heads = 1;
  int64_t num_kv_heads = 1;
  int64_t head_dim = 64;
  int64_t block_size = 64;
  DType cache_dtype = DType::fp8_e4m3;
};

/// Beams of one request: all but the last `own_blocks` blocks are shared.
inline void add_beams(SharingCase& c, int num_beams, int32_t kv_len, int64_t own_blocks = 1) {
  const int64_t num_blocks = ceil_div(kv_len, c.block_size);
  for (int beam = 0; beam < num_beams; ++beam) {
    c.kv_lens.push_back(kv_len);
    c.shared_blocks.push_back(beam == 0 ? 0 : std::max(num_blocks - own_blocks, int64_t{0}));
  }
}

inline GpuAttention build_sharing(const SharingCase& c) {
  test::BuiltAttention built =
      test::build_attention({.num_heads = c.num_heads,
                             .num_kv_heads = c.num_kv_heads,
                             .head_dim = c.head_dim,
                             .block_size = c.block_size,
                             .q_lens = std::vector<int32_t>(c.kv_lens.size(), 1),
                             .kv_lens = c.kv_lens,
                             .dtype = DType::bf16,
                             .cache_dtype = c.cache_dtype,
                             .unwritten = std::numeric_limits<double>::quiet_NaN()});
  for (size_t s = 1; s < c.kv_lens.size(); ++s) {
    int32_t* const table = built.block_tables.view().row<int32_t>(static_cast<int64_t>(s));
    const int32_t* const before = table - built.block_tables.view().row_stride;
    std::copy_n(before, c.shared_blocks[s], table);
  }
  return GpuAttention(std::move(built));
}

}  // namespace veloz::cuda
