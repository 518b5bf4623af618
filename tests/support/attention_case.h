// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <vector>

#include "ops/kv_layout.h"
#include "support/op_runs.h"

/// Batches of sequences for tests of paged attention.
namespace veloz::test {

/// Sequences with random lengths whose blocks lie scattered over a cache; the same keys and values
/// once more in plain arrays.
struct AttentionCase {
  int64_t num_heads = 6;
  int64_t num_kv_heads = 2;
  int64_t head_dim = 24;
  int64_t block_size = 16;
  std::vector<int32_t> q_lens;
  std::vector<int32_t> kv_lens;
  DType dtype = DType::fp32;
  std::optional<DType> cache_dtype = {};  // absent: as dtype
  double unwritten = 1e4;  // what the cache holds where nothing was appended: it would show
  uint64_t seed = 71;
  double k_scale = 0.02;  // of an fp8_e4m3 cache
  double v_scale = 0.003;

  DType cache() const { return cache_dtype.value_or(dtype); }
};

struct BuiltAttention {
  OwnedTensor q, cache, q_starts, q_lens, kv_lens, block_tables;
  std::vector<OwnedTensor> keys, values;  // [kv_len, num_kv_heads * head_dim] per sequence
  ops::Attrs attrs;

  std::vector<TensorView> inputs() const {
    return {q.view(),      cache.view(),   q_starts.view(),
            q_lens.view(), kv_lens.view(), block_tables.view()};
  }
};

inline std::vector<int32_t> shuffled_blocks(int32_t count, uint64_t seed) {
  std::vector<int32_t> blocks(static_cast<size_t>(count));
  std::iota(blocks.begin(), blocks.end(), 0);
  for (size_t i = blocks.size(); i > 1; --i) {
    const uint32_t word =
        philox4x32({static_cast<uint32_t>(i), 9, 9, 9}, {static_cast<uint32_t>(seed), 0})[0];
    std::swap(blocks[i - 1], blocks[word % i]);
  }
  return blocks;
}

/// Fills a cache as if its positions held `value`.
inline void fill_cache(const TensorView& cache, double value) {
  if (cache.dtype == DType::int8) {  // codes and scales: NaN, huge, or zero
    std::memset(cache.data, std::isnan(value) ? 0xff : value == 0 ? 0 : 0x7f, cache.num_bytes());
    return;
  }
  for (int64_t i = 0; i < cache.shape.num_elements(); ++i) set_element(cache, i, value);
}

/// Attributes of kv_append into the cache of a case.
inline ops::Attrs append_attrs(const AttentionCase& c) {
  ops::Attrs attrs{{"num_kv_heads", c.num_kv_heads}, {"head_dim", c.head_dim}};
  if (c.cache() == DType::fp8_e4m3) {
    attrs.set("k_scale", c.k_scale);
    attrs.set("v_scale", c.v_scale);
  }
  return attrs;
}

inline BuiltAttention build_attention(const AttentionCase& c) {
  const auto num_seqs = static_cast<int64_t>(c.kv_lens.size());
  const int32_t longest = *std::ranges::max_element(c.kv_lens);
  const int64_t table_len = (longest + c.block_size - 1) / c.block_size + 1;  // one entry unused
  const auto num_blocks = static_cast<int32_t>(num_seqs * table_len + 2);
  const std::vector<int32_t> blocks = shuffled_blocks(num_blocks, c.seed);
  const int64_t kv_width = c.num_kv_heads * c.head_dim;

  std::vector<int32_t> starts;
  int32_t num_tokens = 0;
  for (const int32_t q_len : c.q_lens) {
    starts.push_back(num_tokens);
    num_tokens += q_len;
  }
  BuiltAttention built{
      .q = random_tensor(c.dtype, {num_tokens, c.num_heads * c.head_dim}, c.seed,
                         {.low = -2, .high = 2, .row_stride = c.num_heads * c.head_dim + 40}),
      .cache = OwnedTensor(c.cache(), {num_blocks, 2, c.num_kv_heads, c.block_size,
                                       ops::kv_row_extent(c.cache(), c.head_dim)}),
      .q_starts = tensor_of(Shape{num_seqs}, starts),
      .q_lens = tensor_of(Shape{num_seqs}, c.q_lens),
      .kv_lens = tensor_of(Shape{num_seqs}, c.kv_lens),
      .block_tables =
          tensor_of(Shape{num_seqs, table_len},
                    std::vector<int32_t>(blocks.begin(), blocks.begin() + num_seqs * table_len)),
      .keys = {},
      .values = {},
      .attrs = append_attrs(c)};
  built.attrs.set("num_heads", c.num_heads);
  built.attrs.set("scale", 1 / std::sqrt(static_cast<double>(c.head_dim)));
  fill_cache(built.cache.view(), c.unwritten);
  for (int64_t s = 0; s < num_seqs; ++s) {
    const int64_t kv_len = c.kv_lens[static_cast<size_t>(s)];
    const auto seed = c.seed + 10 + static_cast<uint64_t>(s);
    built.keys.push_back(random_tensor(c.dtype, {kv_len, kv_width}, seed));
    built.values.push_back(random_tensor(c.dtype, {kv_len, kv_width}, seed + 100));
    std::vector<int64_t> slots;
    for (int64_t p = 0; p < kv_len; ++p)
      slots.push_back(built.block_tables.view().row<int32_t>(s)[p / c.block_size] * c.block_size +
                      p % c.block_size);
    const OwnedTensor slot_tensor = tensor_of(Shape{kv_len}, slots);
    run_reference_into(ops::Op::kv_append,
                       {built.cache.view(), built.keys.back().view(), built.values.back().view(),
                        slot_tensor.view()},
                       {built.cache.view()}, append_attrs(c));
  }
  return built;
}

}  // namespace veloz::test
