// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/numeric.h"
#include "cpu/attention_tile.h"
#include "cpu/parallel.h"
#include "ops/attention.h"
#include "ops/kv_layout.h"

namespace veloz::cpu {

/// Rows whose sums over a leaf are made together, block by block: of K and V only the first tile's
/// lines come from further away than the first-level cache.
inline constexpr int64_t kMaxLeafRows = 2 * kMaxTileRows;

/// Sizes of one call of paged attention, the same for all threads.
struct AttentionGeometry {
  // Queries that read a leaf of K and V (64 KiB at 64 bf16 channels) while it is in the
  // second-level cache: enough to make reading it cheap, few enough to share the work out.
  static constexpr int64_t kRowsPerItem = 48;

  ops::KvLayout kv;
  int64_t group;            // q heads of a kv head
  int64_t tokens_per_item;  // >= 1
  int64_t rows_per_item;    // tokens_per_item * group
  int64_t padded_dim;       // head_dim rounded up to whole panels
  int64_t q_bytes;          // of an element of q and y
  bool is_integer;          // int8 cache, bf16 q: q and weights become int16
  bool is_widened;          // the cache is no dtype of a micro-kernel: leaves become bf16 first
  int64_t kv_bytes;         // of an element of K and V as the micro-kernels read them
  int64_t k_group;          // channels of K in a step

  static AttentionGeometry of(const ops::PagedAttentionArgs& a) {
    const int64_t group = a.num_heads / a.num_kv_heads;
    const int64_t tokens = std::max<int64_t>(1, kRowsPerItem / group);
    const auto q_bytes = static_cast<int64_t>(dtype_bytes(a.q.dtype));
    const bool is_integer = a.cache.dtype == DType::int8 && a.q.dtype == DType::bf16;
    const bool is_widened = a.cache.dtype != a.q.dtype && !is_integer;
    return {.kv = ops::KvLayout::of(a.cache),
            .group = group,
            .tokens_per_item = tokens,
            .rows_per_item = tokens * group,
            .padded_dim = round_up(a.head_dim, kPanelWidth),
            .q_bytes = q_bytes,
            .is_integer = is_integer,
            .is_widened = is_widened,
            .kv_bytes = is_integer   ? int64_t{1}
                        : is_widened ? static_cast<int64_t>(sizeof(uint16_t))
                                     : q_bytes,
            .k_group = kStepBytesX / q_bytes};
  }
  int64_t num_k_steps() const { return kv.head_dim / k_group; }
  /// Of one position in one step of K.
  int64_t k_step_bytes() const { return k_group * kv_bytes; }
  /// Positions in a step of V, as the micro-kernels read it.
  int64_t v_group() const { return is_integer ? 2 : 1; }
  bool has_scales() const { return kv.row_extent != kv.head_dim; }
};

/// Rows of AttentionSums in a flat array of floats: max, weights, then the values.
class SumsArray {
 public:
  static constexpr int64_t kHeader = 16;  // keeps the values on a cache line of their own
  static int64_t floats_per_row(const AttentionGeometry& g) { return kHeader + g.padded_dim; }

  SumsArray(float* data, const AttentionGeometry& g) : data_(data), stride_(floats_per_row(g)) {}

  AttentionSums load(int64_t row) const {
    float* const at = data_ + row * stride_;
    return {.max = at[0], .weights = at[1], .values = at + kHeader};
  }
  void store(int64_t row, const AttentionSums& sums) const {
    data_[row * stride_] = sums.max;
    data_[row * stride_ + 1] = sums.weights;
  }

 private:
  float* data_;
  int64_t stride_;
};

/// A few queries of one kv head, each with all q heads of its group: tokens [tokens.begin,
/// tokens.end) of one sequence, or the single tokens of several.
struct AttentionItem {
  Range sequences;
  int64_t kv_head;
  Range tokens;  // of each sequence

  int64_t num_tokens() const { return sequences.size() * tokens.size(); }
};

/// One query of an item. Rows are token-major: the heads of a group lie side by side.
struct AttentionRow {
  int64_t sequence;
  int64_t visible;  // positions that it sees
  int64_t q_row;    // its row and first column in q and y
  int64_t q_column;
};

/// Scratch of one thread.
struct AttentionScratch {
  std::byte* queries;  // [rows_per_item][padded_dim], q's dtype, widened to fp32, or int16
  AttentionRow* rows;  // [rows_per_item]
  float* steps;        // [rows_per_item], of queries in int16
  float* scores;       // [kMaxLeafRows][kAttentionLeaf]
  float* leaf;         // sums of up to kMaxLeafRows rows over one leaf
  float* group;        // of an item's rows over one group of leaves
  float* total;        // of an item's rows over the groups before
  // One leaf of one kv head: scales of int8, then what is widened.
  float* k_scales;    // [kAttentionLeaf]
  float* v_scales;    // [kAttentionLeaf]
  std::byte* keys;    // [num_k_steps][kAttentionLeaf][k_group] bf16
  std::byte* values;  // [kAttentionLeaf][head_dim] bf16, behind the keys

  static size_t bytes(const AttentionGeometry& g) {
    return query_bytes(g) + row_bytes(g) +
           static_cast<size_t>(num_floats(g) + 2 * ops::kAttentionLeaf) * sizeof(float) +
           (g.is_widened ? 2 * leaf_bytes(g) : 0);
  }
  static AttentionScratch at(std::byte* begin, const AttentionGeometry& g) {
    const int64_t row = SumsArray::floats_per_row(g);
    auto* const rows = reinterpret_cast<AttentionRow*>(begin + query_bytes(g));
    auto* const floats = reinterpret_cast<float*>(begin + query_bytes(g) + row_bytes(g));
    float* const leaf = floats + kMaxLeafRows * ops::kAttentionLeaf;
    float* const group = leaf + kMaxLeafRows * row;
    float* const scales = floats + num_floats(g);
    auto* const keys = reinterpret_cast<std::byte*>(scales + 2 * ops::kAttentionLeaf);
    return {.queries = begin,
            .rows = rows,
            .steps = scales - round_up(g.rows_per_item, kPanelWidth),
            .scores = floats,
            .leaf = leaf,
            .group = group,
            .total = group + g.rows_per_item * row,
            .k_scales = scales,
            .v_scales = scales + ops::kAttentionLeaf,
            .keys = keys,
            .values = keys + leaf_bytes(g)};
  }

 private:
  static size_t query_bytes(const AttentionGeometry& g) {
    return round_up(static_cast<size_t>(g.rows_per_item * g.padded_dim) * sizeof(float),
                    size_t{64});
  }
  static size_t row_bytes(const AttentionGeometry& g) {
    return round_up(static_cast<size_t>(g.rows_per_item) * sizeof(AttentionRow), size_t{64});
  }
  static int64_t num_floats(const AttentionGeometry& g) {
    return kMaxLeafRows * ops::kAttentionLeaf +
           (kMaxLeafRows + 2 * g.rows_per_item) * SumsArray::floats_per_row(g) +
           round_up(g.rows_per_item, kPanelWidth);
  }
  static size_t leaf_bytes(const AttentionGeometry& g) {
    return static_cast<size_t>(ops::kAttentionLeaf * g.kv.head_dim * g.kv_bytes);
  }
};

}  // namespace veloz::cpu
