// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "base/numeric.h"
#include "cpu/attention_geometry.h"

namespace veloz::cpu {

/// Whether two sequences read the same blocks for all positions of a leaf, and both see it whole:
/// beams do before they part, and prompts that begin alike.
bool share_leaf(const ops::PagedAttentionArgs& args, int64_t sequence, int64_t other,
                int64_t leaf_idx);

/// One thread at work on items: walks the reduction tree of ops/attention.h for their rows.
class AttentionWorker {
 public:
  AttentionWorker(const ops::PagedAttentionArgs& args, const AttentionGeometry& g,
                  const AttentionMicro& micro, const AttentionScratch& scratch)
      : a_(args), g_(g), micro_(micro), scratch_(scratch) {}

  /// Says what the call after the next one reads, all of an item or one leaf of it: the next one
  /// asks for it.
  void expect(const AttentionItem& item) { expected_ = reading_of(item, 0, most_visible(item)); }
  void expect(const AttentionItem& item, int64_t leaf_idx) { expected_ = leaf_of(item, leaf_idx); }

  /// All positions, in tree order, straight to y.
  void run(const AttentionItem& item);

  /// One leaf of an item of single tokens: the sums of row r go to `partials_of(its sequence)`, an
  /// array of `group` rows.
  template <typename PartialsOf>
  void run_leaf(const AttentionItem& item, int64_t leaf_idx, const PartialsOf& partials_of) {
    open(item);
    load_queries(item);
    open_reading(leaf_of(item, leaf_idx));
    for_each_reading(item, leaf_idx, [&](Range rows) {
      sum_leaf(rows);
      for (int64_t r = rows.begin; r < rows.end; ++r)
        copy(partials_of(scratch_.rows[r].sequence), r % g_.group,
             SumsArray(scratch_.leaf, g_).load(r - rows.begin));
    });
  }

  /// Folds the partials [leaf][group] of a single token of one sequence.
  void run_fold(const AttentionItem& item, float* partials);

 private:
  /// K and V of positions that lie one after another, as the micro-kernels read them.
  struct Stretch {
    const std::byte* k;  // of its first position
    int64_t k_stride;    // bytes from step to step
    const std::byte* v;
    int64_t at;  // its first position in the leaf
    int64_t count;
  };

  /// Positions [begin, end) of a kv head, which are read in this order.
  struct Reading {
    const int32_t* table = nullptr;
    int64_t kv_head = 0;
    int64_t begin = 0;
    int64_t end = 0;
  };

  /// Positions of one block that are read later.
  struct Ahead {
    const Reading* reading;
    int64_t slot;  // of the block's first position
    int64_t count;
  };

  /// Lines of the caches that lie one after another.
  struct Lines {
    const char* begin = nullptr;
    int64_t count = 0;
  };
  static Lines share_of(const Lines& lines, int64_t idx, int64_t count) {
    const Range part = part_of(lines.count, idx, count);
    return {lines.begin + part.begin * kLine, part.size()};
  }

  /// Positions that a token of a sequence sees.
  int64_t visible(int64_t sequence, int64_t token) const {
    return a_.kv_lens.as<const int32_t>()[sequence] - a_.q_lens.as<const int32_t>()[sequence] +
           token + 1;
  }
  /// Positions of the open leaf that a row sees; more than none.
  int64_t seen(int64_t row) const {
    return std::min(scratch_.rows[row].visible - leaf_begin_, ops::kAttentionLeaf);
  }

  /// From query to query in scratch.
  int64_t query_row_bytes() const {
    const GemmMicro& gemm = g_.is_integer ? *micro_.integers : *micro_.scores;
    return g_.padded_dim / g_.k_group * gemm.step_bytes_x;
  }
  void open(const AttentionItem& item);
  void load_queries(const AttentionItem& item);
  const int32_t* table_of(int64_t sequence) const {
    return a_.block_tables.as<const int32_t>() + sequence * a_.block_tables.row_stride;
  }
  /// Positions that some row of the item's first sequence sees.
  int64_t most_visible(const AttentionItem& item) const {
    return visible(item.sequences.begin, item.tokens.end - 1);
  }
  Reading reading_of(const AttentionItem& item, int64_t begin, int64_t end) const {
    return {table_of(item.sequences.begin), item.kv_head, begin, std::min(end, most_visible(item))};
  }
  Reading leaf_of(const AttentionItem& item, int64_t leaf_idx) const {
    return reading_of(item, leaf_idx * ops::kAttentionLeaf, (leaf_idx + 1) * ops::kAttentionLeaf);
  }
  void open_reading(const Reading& reading) {
    reading_ = reading;
    next_ = std::exchange(expected_, {});
  }

  /// Reads a leaf once for all rows that share it, as often as there are such sets, and calls
  /// f(rows) for up to kMaxLeafRows at a time that see some of it.
  template <typename F>
  void for_each_reading(const AttentionItem& item, int64_t leaf_idx, const F& f) {
    const int64_t rows_of_sequence = item.tokens.size() * g_.group;
    for (int64_t s = item.sequences.begin; s < item.sequences.end;) {
      int64_t end = s + 1;
      while (end < item.sequences.end && share_leaf(a_, s, end, leaf_idx)) ++end;
      Range rows{(s - item.sequences.begin) * rows_of_sequence,
                 (end - item.sequences.begin) * rows_of_sequence};
      s = end;
      const int64_t begin = leaf_idx * ops::kAttentionLeaf;
      while (rows.size() > 0 && scratch_.rows[rows.begin].visible <= begin) ++rows.begin;
      if (rows.size() == 0) continue;
      open_leaf(item.kv_head, leaf_idx, rows);
      const int64_t num_parts = ceil_div(rows.size(), kMaxLeafRows);
      for (int64_t i = 0; i < num_parts; ++i) {
        const Range part = part_of(rows.size(), i, num_parts);
        part_ = {i, num_parts};
        f(Range{rows.begin + part.begin, rows.begin + part.end});
      }
    }
  }

  void open_leaf(int64_t kv_head, int64_t leaf_idx, Range rows);
  void load_scales(int64_t num_positions) const;
  void widen_leaf(int64_t num_positions) const;
  void widen(const CodeRows& rows) const;
  void widen_pairs(const std::byte* pairs, int64_t count, std::byte* first,
                   std::byte* second) const;
  void fold(int64_t row, int64_t leaf_idx, bool is_last, const AttentionSums& leaf);
  void add(const SumsArray& into, int64_t row, const AttentionSums& from, bool is_first) const;
  void copy(const SumsArray& into, int64_t row, const AttentionSums& from) const;
  void finish(int64_t row) const;
  void sum_leaf(Range rows) const;
  template <typename F>
  void for_each_block(Range positions, const F& f) const;
  template <typename F>
  void for_each_stretch(Range positions, const F& f) const;
  SoftmaxRow softmax_row(Range rows, int64_t row, const Lines& asked) const;
  void sum_leaf_integers(Range rows) const;
  void score(const GemmMicro& gemm, int64_t num_positions, Range rows) const;
  void weigh(const GemmMicro& gemm, Range positions, Range rows, int64_t first_row) const;
  void weigh_last_channels(const GemmMicro& gemm, int64_t num_rows, const GemmTile& tile) const;
  void run_gemm(const GemmMicro& gemm, int64_t num_rows, int64_t num_panels,
                const GemmTile& whole) const;
  std::optional<Ahead> ahead_of(int64_t at) const;
  void ask_for_codes(int64_t at) const;
  void ask_for_lines(GemmTile& tile, const Lines& all) const;
  Lines k_lines(const Ahead& ahead) const;
  bool softmax_asks(int64_t num_positions, int64_t num_rows) const;
  void spread_lines(int64_t num_positions, std::span<Lines> lines_of_rows) const;
  void ask_for_k(GemmTile& scores, int64_t at, bool is_half) const;
  void ask_for_v(GemmTile& values, int64_t at) const;

  const ops::PagedAttentionArgs& a_;
  const AttentionGeometry& g_;
  const AttentionMicro& micro_;
  const AttentionScratch scratch_;
  // The leaf that is open: what score() and weigh() read.
  const int32_t* table_ = nullptr;  // of the sequence
  int64_t kv_head_ = 0;
  int64_t leaf_begin_ = 0;  // its first position
  Reading reading_;         // of the call at work
  Reading next_;            // of the one after it; may be empty
  Reading expected_;        // the next one's `next_`
  /// Each part of the rows asks for a part of what is read next: all at once would be more than a
  /// core can have on its way.
  struct Part {
    int64_t idx = 0;
    int64_t count = 1;
  } part_;
};

}  // namespace veloz::cpu
