// SPDX-License-Identifier: Apache-2.0
#include "cpu/attention.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numbers>

#include "base/error.h"
#include "base/numeric.h"
#include "cpu/parallel.h"
#include "ops/kv_layout.h"

namespace veloz::cpu {
namespace {

using ops::kAttentionFanIn;
using ops::kAttentionLeaf;
using ops::KvLayout;
using ops::PagedAttentionArgs;

// Queries that read a leaf of K and V (64 KiB at 64 bf16 channels) while it is in the second-level
// cache: enough to make reading it cheap, few enough to share the work out.
constexpr int64_t kRowsPerItem = 48;
// Fewer items than this for a thread, and long caches are cut by leaves.
constexpr int64_t kItemsPerThread = 4;

/// Sizes of one call, the same for all threads.
struct Geometry {
  KvLayout kv;
  int64_t group;            // q heads of a kv head
  int64_t tokens_per_item;  // >= 1
  int64_t rows_per_item;    // tokens_per_item * group
  int64_t padded_dim;       // head_dim rounded up to whole panels
  int64_t element_bytes;

  static Geometry of(const PagedAttentionArgs& a) {
    const int64_t group = a.num_heads / a.num_kv_heads;
    const int64_t tokens = std::max<int64_t>(1, kRowsPerItem / group);
    return {.kv = KvLayout::of(a.cache),
            .group = group,
            .tokens_per_item = tokens,
            .rows_per_item = tokens * group,
            .padded_dim = round_up(a.head_dim, kPanelWidth),
            .element_bytes = static_cast<int64_t>(dtype_bytes(a.cache.dtype))};
  }
};

/// Rows of AttentionSums in a flat array of floats: max, weights, then the values.
class SumsArray {
 public:
  static constexpr int64_t kHeader = 16;  // keeps the values on a cache line of their own
  static int64_t floats_per_row(const Geometry& g) { return kHeader + g.padded_dim; }

  SumsArray(float* data, const Geometry& g) : data_(data), stride_(floats_per_row(g)) {}

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

/// A few queries of one sequence and one kv head: tokens [tokens.begin, tokens.end) of its q_len,
/// each with all q heads of the group.
struct WorkItem {
  int64_t sequence;
  int64_t kv_head;
  Range tokens;
};

/// Calls and sizes of the scratch of one thread.
struct Scratch {
  std::byte* queries;  // [rows_per_item][head_dim], the cache's dtype
  float* scores;       // [kMaxTileRows][kAttentionLeaf]
  float* leaf;         // sums of a tile's rows over one leaf
  float* group;        // of an item's rows over one group of leaves
  float* total;        // of an item's rows over the groups before

  static size_t query_bytes(const Geometry& g) {
    return round_up(static_cast<size_t>(g.rows_per_item * g.kv.head_dim * g.element_bytes),
                    size_t{64});
  }
  static size_t bytes(const Geometry& g) {
    const int64_t floats = kMaxTileRows * kAttentionLeaf +
                           (kMaxTileRows + 2 * g.rows_per_item) * SumsArray::floats_per_row(g);
    return query_bytes(g) + static_cast<size_t>(floats) * sizeof(float);
  }
  static Scratch at(std::byte* begin, const Geometry& g) {
    const int64_t row = SumsArray::floats_per_row(g);
    auto* const floats = reinterpret_cast<float*>(begin + query_bytes(g));
    float* const leaf = floats + kMaxTileRows * kAttentionLeaf;
    float* const group = leaf + kMaxTileRows * row;
    return {.queries = begin,
            .scores = floats,
            .leaf = leaf,
            .group = group,
            .total = group + g.rows_per_item * row};
  }
};

/// One thread at work on items.
class AttentionWorker {
 public:
  AttentionWorker(const PagedAttentionArgs& args, const Geometry& g, const AttentionMicro& micro,
                  const Scratch& scratch)
      : a_(args), g_(g), micro_(micro), scratch_(scratch) {}

  /// All positions, in tree order, straight to y.
  void run(const WorkItem& item) {
    load_queries(item);
    const int64_t num_rows = item.tokens.size() * g_.group;
    const int64_t end = visible(item, num_rows - 1);
    for (int64_t begin = 0; begin < end; begin += kAttentionLeaf)
      for_each_tile(num_rows, [&](Range rows) { fold_leaf(item, begin / kAttentionLeaf, rows); });
    for (int64_t r = 0; r < num_rows; ++r) finish(item, r);
  }

  /// One leaf of a single token's rows, to `partials` [group].
  void run_leaf(const WorkItem& item, int64_t leaf_idx, const SumsArray& partials) {
    load_queries(item);
    for_each_tile(g_.group, [&](Range rows) {
      sum_leaf(item, leaf_idx, rows);
      for (int64_t r = rows.begin; r < rows.end; ++r)
        copy(partials, r, SumsArray(scratch_.leaf, g_).load(r - rows.begin));
    });
  }

  /// Folds the partials [leaf][group] of a single token's rows.
  void run_fold(const WorkItem& item, float* partials) {
    const int64_t num_leaves = ceil_div(visible(item, 0), kAttentionLeaf);
    for (int64_t r = 0; r < g_.group; ++r) {
      for (int64_t leaf = 0; leaf < num_leaves; ++leaf)
        fold(r, leaf, leaf + 1 == num_leaves, SumsArray(partials, g_).load(leaf * g_.group + r));
      finish(item, r);
    }
  }

 private:
  /// Positions that row `row` of an item sees: row is token-major.
  int64_t visible(const WorkItem& item, int64_t row) const {
    const int64_t q_len = a_.q_lens.as<const int32_t>()[item.sequence];
    const int64_t kv_len = a_.kv_lens.as<const int32_t>()[item.sequence];
    return kv_len - q_len + item.tokens.begin + row / g_.group + 1;
  }

  /// Offset in elements of an item's row in q and y.
  int64_t q_row(const WorkItem& item, int64_t row) const {
    return a_.q_starts.as<const int32_t>()[item.sequence] + item.tokens.begin + row / g_.group;
  }
  int64_t q_column(const WorkItem& item, int64_t row) const {
    return (item.kv_head * g_.group + row % g_.group) * a_.head_dim;
  }

  /// Side by side, so that tiles may reach from one token to the next.
  void load_queries(const WorkItem& item) {
    const int64_t row_bytes = a_.head_dim * g_.element_bytes;
    for (int64_t r = 0; r < item.tokens.size() * g_.group; ++r)
      std::memcpy(scratch_.queries + r * row_bytes,
                  a_.q.as<const std::byte>() +
                      (q_row(item, r) * a_.q.row_stride + q_column(item, r)) * g_.element_bytes,
                  static_cast<size_t>(row_bytes));
  }

  template <typename F>
  void for_each_tile(int64_t num_rows, const F& f) const {
    const int64_t num_tiles = ceil_div(num_rows, kMaxTileRows);
    for (int64_t i = 0; i < num_tiles; ++i) f(part_of(num_rows, i, num_tiles));
  }

  void fold_leaf(const WorkItem& item, int64_t leaf_idx, Range rows) {
    const int64_t begin = leaf_idx * kAttentionLeaf;
    while (rows.size() > 0 && visible(item, rows.begin) <= begin) ++rows.begin;  // see nothing here
    if (rows.size() == 0) return;
    sum_leaf(item, leaf_idx, rows);
    for (int64_t r = rows.begin; r < rows.end; ++r)
      fold(r, leaf_idx, visible(item, r) <= begin + kAttentionLeaf,
           SumsArray(scratch_.leaf, g_).load(r - rows.begin));
  }

  /// Puts the leaf's sums in its place in the tree: into its group, and the group, once it is
  /// complete, into the total.
  void fold(int64_t row, int64_t leaf_idx, bool is_last, const AttentionSums& leaf) {
    const SumsArray groups(scratch_.group, g_);
    const SumsArray totals(scratch_.total, g_);
    add(groups, row, leaf, leaf_idx % kAttentionFanIn == 0);
    if (is_last || (leaf_idx + 1) % kAttentionFanIn == 0)
      add(totals, row, groups.load(row), leaf_idx < kAttentionFanIn);
  }
  void add(const SumsArray& into, int64_t row, const AttentionSums& from, bool is_first) {
    if (is_first) return copy(into, row, from);
    AttentionSums sums = into.load(row);
    micro_.merge(sums, from, a_.head_dim);
    into.store(row, sums);
  }
  void copy(const SumsArray& into, int64_t row, const AttentionSums& from) const {
    into.store(row, from);
    std::memcpy(into.load(row).values, from.values,
                static_cast<size_t>(a_.head_dim) * sizeof(float));
  }
  void finish(const WorkItem& item, int64_t row) {
    const int64_t at = q_row(item, row) * a_.y.row_stride + q_column(item, row);
    micro_.finish(a_.y.as<std::byte>() + at * static_cast<int64_t>(dtype_bytes(a_.y.dtype)),
                  SumsArray(scratch_.total, g_).load(row), a_.head_dim, a_.y.dtype == DType::bf16);
  }

  /// Sums of a tile's rows over the positions of a leaf that each of them sees, at least one.
  void sum_leaf(const WorkItem& item, int64_t leaf_idx, Range rows) {
    const int64_t begin = leaf_idx * kAttentionLeaf;
    const auto seen = [&](int64_t row) {
      return std::min(visible(item, row) - begin, kAttentionLeaf);
    };
    score(item, begin, seen(rows.end - 1), rows);
    const SumsArray leaf(scratch_.leaf, g_);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      SoftmaxRow softmax{.scores = scratch_.scores + (r - rows.begin) * kAttentionLeaf,
                         .num_positions = seen(r),
                         .scale = a_.scale * std::numbers::log2e_v<float>,
                         .max = 0,
                         .weights = 0};
      micro_.softmax(softmax);
      leaf.store(r - rows.begin,
                 {.max = softmax.max, .weights = softmax.weights, .values = nullptr});
    }
    // Rows see more and more positions: those of all rows together, then what only the later see.
    int64_t from = 0;
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      if (seen(r) == from) continue;
      weigh(item, begin, {from, seen(r)}, {r, rows.end}, rows.begin);
      from = seen(r);
    }
  }

  /// Calls f(block's index, position in the block, position in the leaf, count) for stretches of
  /// positions that lie in one block.
  template <typename F>
  void for_each_stretch(const WorkItem& item, int64_t leaf_begin, Range positions,
                        const F& f) const {
    const int32_t* const table =
        a_.block_tables.as<const int32_t>() + item.sequence * a_.block_tables.row_stride;
    for (int64_t p = positions.begin; p < positions.end;) {
      const int64_t in_block = (leaf_begin + p) % g_.kv.block_size;
      const int64_t count = std::min(positions.end - p, g_.kv.block_size - in_block);
      f(int64_t{table[(leaf_begin + p) / g_.kv.block_size]}, in_block, p, count);
      p += count;
    }
  }

  /// scores[row][position] = q . k, whole panels of 16 positions: what lies beyond is garbage.
  void score(const WorkItem& item, int64_t leaf_begin, int64_t num_positions, Range rows) {
    for_each_stretch(item, leaf_begin, {0, num_positions},
                     [&](int64_t block, int64_t in_block, int64_t at, int64_t count) {
                       const int64_t k =
                           g_.kv.k_index(block * g_.kv.block_size + in_block, item.kv_head, 0);
                       const int64_t row_bytes = a_.head_dim * g_.element_bytes;
                       run_gemm(*micro_.scores, rows.size(), ceil_div(count, kPanelWidth),
                                {.x = scratch_.queries + rows.begin * row_bytes,
                                 .x_stride = row_bytes,
                                 .w = a_.cache.as<const std::byte>() + k * g_.element_bytes,
                                 .w_stride = kStepBytes,
                                 .w_step = g_.kv.block_size * kStepBytesX,
                                 .num_steps = a_.head_dim / g_.kv.group,
                                 .continues = false,
                                 .sums = scratch_.scores + at,
                                 .sums_stride = kAttentionLeaf,
                                 .prefetch = nullptr,
                                 .prefetch_panels = 0});
                     });
  }

  /// values[row] += weights[row][position] * v[position]; the chain starts at position 0.
  void weigh(const WorkItem& item, int64_t leaf_begin, Range positions, Range rows,
             int64_t first_row) {
    for_each_stretch(
        item, leaf_begin, positions,
        [&](int64_t block, int64_t in_block, int64_t at, int64_t count) {
          const int64_t v = g_.kv.v_index(block * g_.kv.block_size + in_block, item.kv_head, 0);
          const int64_t row = rows.begin - first_row;
          const GemmTile tile{.x = scratch_.scores + row * kAttentionLeaf + at,
                              .x_stride = kAttentionLeaf * kStepBytesX,
                              .w = a_.cache.as<const std::byte>() + v * g_.element_bytes,
                              .w_stride = kPanelWidth * g_.element_bytes,
                              .w_step = a_.head_dim * g_.element_bytes,
                              .num_steps = count,
                              .continues = at > 0,
                              .sums = SumsArray(scratch_.leaf, g_).load(row).values,
                              .sums_stride = SumsArray::floats_per_row(g_),
                              .prefetch = nullptr,
                              .prefetch_panels = 0};
          run_gemm(*micro_.values, rows.size(), a_.head_dim / kPanelWidth, tile);
          if (a_.head_dim % kPanelWidth != 0) weigh_last_channels(rows.size(), tile);
        });
  }

  /// The last 16 channels as one panel. It overlaps the one before, whose sums it would continue
  /// twice, so it works on a copy and keeps only what is new.
  void weigh_last_channels(int64_t num_rows, const GemmTile& tile) {
    const int64_t first = a_.head_dim - kPanelWidth;
    const int64_t done = a_.head_dim / kPanelWidth * kPanelWidth;
    const auto kept = static_cast<size_t>(a_.head_dim - done);
    float sums[kMaxTileRows * kPanelWidth] = {};
    for (int64_t r = 0; r < num_rows && tile.continues; ++r)
      std::memcpy(sums + r * kPanelWidth + (done - first), tile.sums + r * tile.sums_stride + done,
                  kept * sizeof(float));
    GemmTile last = tile;
    last.w = static_cast<const std::byte*>(tile.w) + first * g_.element_bytes;
    last.sums = sums;
    last.sums_stride = kPanelWidth;
    run_gemm(*micro_.values, num_rows, 1, last);
    for (int64_t r = 0; r < num_rows; ++r)
      std::memcpy(tile.sums + r * tile.sums_stride + done, sums + r * kPanelWidth + (done - first),
                  kept * sizeof(float));
  }

  /// A product of any size, in tiles that the micro-kernels have.
  void run_gemm(const GemmMicro& gemm, int64_t num_rows, int64_t num_panels,
                const GemmTile& whole) const {
    for (int64_t r = 0; r < num_rows; r += gemm.max_rows) {
      const int64_t rows = std::min(gemm.max_rows, num_rows - r);
      for (int64_t p = 0; p < num_panels; p += gemm.max_panels) {
        const int64_t panels = std::min(gemm.max_panels, num_panels - p);
        GemmTile tile = whole;
        tile.x = static_cast<const std::byte*>(whole.x) + r * whole.x_stride;
        tile.w = static_cast<const std::byte*>(whole.w) + p * whole.w_stride;
        tile.sums = whole.sums + r * whole.sums_stride + p * kPanelWidth;
        gemm.tiles[rows - 1][panels - 1](tile);
      }
    }
  }

  const PagedAttentionArgs& a_;
  const Geometry& g_;
  const AttentionMicro& micro_;
  const Scratch scratch_;
};

/// Items of a step, numbered: per sequence, per stretch of tokens, per kv head.
class ItemList {
 public:
  ItemList(const PagedAttentionArgs& a, const Geometry& g) : a_(a), g_(g) {}

  int64_t size() const {
    int64_t count = 0;
    for (int64_t s = 0; s < a_.q_lens.shape[0]; ++s) count += items_of(s);
    return count;
  }
  /// Moves on from an earlier item; `idx` < size() never falls from call to call.
  WorkItem seek(int64_t idx) {
    while (idx - first_ >= items_of(sequence_)) first_ += items_of(sequence_++);
    const int64_t q_len = a_.q_lens.as<const int32_t>()[sequence_];
    const int64_t begin = (idx - first_) / a_.num_kv_heads * g_.tokens_per_item;
    return {.sequence = sequence_,
            .kv_head = (idx - first_) % a_.num_kv_heads,
            .tokens = {begin, std::min(begin + g_.tokens_per_item, q_len)}};
  }

 private:
  int64_t items_of(int64_t sequence) const {
    return ceil_div(a_.q_lens.as<const int32_t>()[sequence], g_.tokens_per_item) * a_.num_kv_heads;
  }
  const PagedAttentionArgs& a_;
  const Geometry& g_;
  int64_t sequence_ = 0;
  int64_t first_ = 0;  // index of the sequence's first item
};

int64_t max_leaves(const PagedAttentionArgs& a) {
  return ceil_div(a.block_tables.shape[1] * a.cache.shape[3], kAttentionLeaf);
}

/// Pairs of sequence and kv head that may be cut by leaves.
int64_t max_split_items(const PagedAttentionArgs& a, int num_threads) {
  return std::min(a.q_lens.shape[0] * a.num_kv_heads, num_threads * kItemsPerThread);
}

/// Floats of one such pair's partials.
int64_t partial_floats(const PagedAttentionArgs& a, const Geometry& g) {
  return max_leaves(a) * g.group * SumsArray::floats_per_row(g);
}

/// Single tokens with more than a leaf behind them, too few to give every thread its share.
bool should_split(const PagedAttentionArgs& a, int num_threads) {
  const int64_t num_sequences = a.q_lens.shape[0];
  bool has_long = false;
  for (int64_t s = 0; s < num_sequences; ++s) {
    if (a.q_lens.as<const int32_t>()[s] != 1) return false;
    has_long = has_long || a.kv_lens.as<const int32_t>()[s] > kAttentionLeaf;
  }
  return has_long && num_threads > 1 &&
         num_sequences * a.num_kv_heads < num_threads * kItemsPerThread;
}

/// Leaves on all threads, then one fold per pair of sequence and kv head.
void run_split(ThreadPool& pool, const PagedAttentionArgs& a, const Geometry& g,
               const AttentionMicro& micro, std::byte* workspace) {
  const size_t scratch_bytes = Scratch::bytes(g);
  auto* const partials =
      reinterpret_cast<float*>(workspace + static_cast<size_t>(pool.num_threads()) * scratch_bytes);
  const int64_t num_pairs = a.q_lens.shape[0] * a.num_kv_heads;
  const auto item_of = [&](int64_t pair) {
    return WorkItem{pair / a.num_kv_heads, pair % a.num_kv_heads, {0, 1}};
  };
  const auto worker = [&](int thread_idx) {
    return AttentionWorker(
        a, g, micro, Scratch::at(workspace + static_cast<size_t>(thread_idx) * scratch_bytes, g));
  };
  std::atomic<int64_t> next = 0;
  pool.run([&](int thread_idx) {
    AttentionWorker w = worker(thread_idx);
    const int64_t leaves = max_leaves(a);
    for (int64_t i = next++; i < num_pairs * leaves; i = next++) {
      const WorkItem item = item_of(i / leaves);
      const int64_t leaf = i % leaves;
      if (leaf * kAttentionLeaf >= a.kv_lens.as<const int32_t>()[item.sequence]) continue;
      w.run_leaf(item, leaf,
                 SumsArray(partials + i / leaves * partial_floats(a, g) +
                               leaf * g.group * SumsArray::floats_per_row(g),
                           g));
    }
  });
  pool.run([&](int thread_idx) {
    const Range pairs = part_of(num_pairs, thread_idx, pool.num_threads());
    for (int64_t i = pairs.begin; i < pairs.end; ++i)
      worker(thread_idx).run_fold(item_of(i), partials + i * partial_floats(a, g));
  });
}

}  // namespace

size_t paged_attention_workspace_bytes(const ops::OpCall& call, int num_threads) {
  const PagedAttentionArgs a = PagedAttentionArgs::from(call);
  const Geometry g = Geometry::of(a);
  return static_cast<size_t>(num_threads) * Scratch::bytes(g) +
         static_cast<size_t>(max_split_items(a, num_threads) * partial_floats(a, g)) *
             sizeof(float);
}

void paged_attention(ops::OpContext& context, const PagedAttentionArgs& a,
                     const AttentionMicro& micro) noexcept {
  const Geometry g = Geometry::of(a);
  ThreadPool& pool = *context.pool;
  std::byte* const workspace = context.workspace.data();
  if (should_split(a, pool.num_threads())) return run_split(pool, a, g, micro, workspace);

  const int64_t num_items = ItemList(a, g).size();
  // Items differ in length, so threads take the next one when they are free; who computes an item
  // does not change it.
  std::atomic<int64_t> next = 0;
  pool.run([&](int thread_idx) {
    AttentionWorker worker(
        a, g, micro,
        Scratch::at(workspace + static_cast<size_t>(thread_idx) * Scratch::bytes(g), g));
    ItemList items(a, g);
    for (int64_t i = next++; i < num_items; i = next++) worker.run(items.seek(i));
  });
}

}  // namespace veloz::cpu
