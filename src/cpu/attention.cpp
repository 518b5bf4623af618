// SPDX-License-Identifier: Apache-2.0
#include "cpu/attention.h"

#include <algorithm>
#include <atomic>
#include <optional>

#include "base/numeric.h"
#include "cpu/attention_worker.h"
#include "cpu/parallel.h"

namespace veloz::cpu {
namespace {

using ops::kAttentionLeaf;
using ops::PagedAttentionArgs;

// Fewer items than this for a thread, and long caches are cut by leaves.
constexpr int64_t kItemsPerThread = 4;
// Where items are as many for each thread, only caches of so many leaves: folding costs one
// barrier more.
constexpr int64_t kLeavesToSplitEven = 4;

/// Items of a step, numbered: per sequence, per stretch of tokens, per kv head. Up to `max_joined`
/// single tokens of sequences that begin with the same leaf are one item.
class ItemList {
 public:
  ItemList(const PagedAttentionArgs& a, const AttentionGeometry& g, int64_t max_joined)
      : a_(a), g_(g), max_joined_(max_joined), joined_(joined_from(0)) {}

  int64_t size() const {
    int64_t count = 0;
    for (Range joined = joined_from(0); joined.size() > 0; joined = joined_from(joined.end))
      count += items_of(joined);
    return count;
  }
  /// Moves on from an earlier item; `idx` < size() never falls from call to call.
  AttentionItem seek(int64_t idx) {
    while (idx - first_ >= items_of(joined_)) {
      first_ += items_of(joined_);
      joined_ = joined_from(joined_.end);
    }
    const int64_t begin = (idx - first_) / a_.num_kv_heads * g_.tokens_per_item;
    return {.sequences = joined_,
            .kv_head = (idx - first_) % a_.num_kv_heads,
            .tokens = {begin, std::min(begin + g_.tokens_per_item, q_len(joined_.begin))}};
  }

 private:
  int64_t q_len(int64_t sequence) const { return a_.q_lens.as<const int32_t>()[sequence]; }
  Range joined_from(int64_t sequence) const {
    const int64_t num_sequences = a_.q_lens.shape[0];
    Range joined{sequence, std::min(sequence + 1, num_sequences)};
    while (joined.size() > 0 && joined.size() < max_joined_ && joined.end < num_sequences &&
           q_len(joined.begin) == 1 && q_len(joined.end) == 1 &&
           share_leaf(a_, joined.begin, joined.end, 0))
      ++joined.end;
    return joined;
  }
  int64_t items_of(Range joined) const {
    return ceil_div(q_len(joined.begin), g_.tokens_per_item) * a_.num_kv_heads;
  }

  const PagedAttentionArgs& a_;
  const AttentionGeometry& g_;
  const int64_t max_joined_;
  Range joined_;
  int64_t first_ = 0;  // index of the first item of `joined_`
};

/// Sequences of an item: all that it takes, as long as every thread has some items.
int64_t max_joined(const PagedAttentionArgs& a, const AttentionGeometry& g, int num_threads) {
  constexpr int64_t kLeastItemsPerThread = 2;
  return std::clamp<int64_t>(
      a.q_lens.shape[0] * a.num_kv_heads / (num_threads * kLeastItemsPerThread), 1,
      g.tokens_per_item);
}

int64_t max_leaves(const PagedAttentionArgs& a) {
  return ceil_div(a.block_tables.shape[1] * a.cache.shape[3], kAttentionLeaf);
}

/// Pairs of sequence and kv head that may be cut by leaves.
int64_t max_split_items(const PagedAttentionArgs& a, int num_threads) {
  return std::min(a.q_lens.shape[0] * a.num_kv_heads, num_threads * kItemsPerThread);
}

/// Floats of one such pair's partials.
int64_t partial_floats(const PagedAttentionArgs& a, const AttentionGeometry& g) {
  return max_leaves(a) * g.group * SumsArray::floats_per_row(g);
}

/// Single tokens with more than a leaf behind them, too few to give every thread its share.
bool should_split(const PagedAttentionArgs& a, int num_threads) {
  const int64_t num_sequences = a.q_lens.shape[0];
  int64_t most_positions = 0;
  for (int64_t s = 0; s < num_sequences; ++s) {
    if (a.q_lens.as<const int32_t>()[s] != 1) return false;
    most_positions = std::max<int64_t>(most_positions, a.kv_lens.as<const int32_t>()[s]);
  }
  const int64_t num_items = num_sequences * a.num_kv_heads;
  const int64_t least_leaves = num_items % num_threads == 0 ? kLeavesToSplitEven : 2;
  return ceil_div(most_positions, kAttentionLeaf) >= least_leaves && num_threads > 1 &&
         num_items < num_threads * kItemsPerThread;
}

/// Calls f(idx, the one this thread gets next, if any) until all `count` are taken. The next one is
/// taken before the one at hand is done, so that its memory is on its way by then.
template <typename F>
void take_in_turn(std::atomic<int64_t>& next, int64_t count, const F& f) {
  for (int64_t i = next++; i < count;) {
    const int64_t after = next++;
    f(i, after < count ? std::optional(after) : std::nullopt);
    i = after;
  }
}

/// Leaves on all threads, then one fold per pair of sequence and kv head.
void run_split(ThreadPool& pool, const PagedAttentionArgs& a, const AttentionGeometry& g,
               const AttentionMicro& micro, std::byte* workspace) {
  const size_t scratch_bytes = AttentionScratch::bytes(g);
  auto* const partials =
      reinterpret_cast<float*>(workspace + static_cast<size_t>(pool.num_threads()) * scratch_bytes);
  const auto partials_of = [&](int64_t sequence, int64_t kv_head) {
    return partials + (sequence * a.num_kv_heads + kv_head) * partial_floats(a, g);
  };
  const auto worker = [&](int thread_idx) {
    return AttentionWorker(
        a, g, micro,
        AttentionScratch::at(workspace + static_cast<size_t>(thread_idx) * scratch_bytes, g));
  };
  const int64_t num_leaves = max_leaves(a);
  const int64_t num_items = ItemList(a, g, g.tokens_per_item).size();
  std::atomic<int64_t> next = 0;
  pool.run([&](int thread_idx) {
    AttentionWorker w = worker(thread_idx);
    ItemList items(a, g, g.tokens_per_item);
    take_in_turn(next, num_items * num_leaves, [&](int64_t i, std::optional<int64_t> after) {
      const AttentionItem item = items.seek(i / num_leaves);
      const int64_t leaf = i % num_leaves;
      if (after) w.expect(items.seek(*after / num_leaves), *after % num_leaves);
      w.run_leaf(item, leaf, [&](int64_t sequence) {
        return SumsArray(
            partials_of(sequence, item.kv_head) + leaf * g.group * SumsArray::floats_per_row(g), g);
      });
    });
  });
  const int64_t num_pairs = a.q_lens.shape[0] * a.num_kv_heads;
  pool.run([&](int thread_idx) {
    const Range pairs = part_of(num_pairs, thread_idx, pool.num_threads());
    for (int64_t i = pairs.begin; i < pairs.end; ++i) {
      const int64_t sequence = i / a.num_kv_heads;
      const int64_t kv_head = i % a.num_kv_heads;
      worker(thread_idx)
          .run_fold({{sequence, sequence + 1}, kv_head, {0, 1}}, partials_of(sequence, kv_head));
    }
  });
}

}  // namespace

size_t paged_attention_workspace_bytes(const ops::OpCall& call, int num_threads) {
  const PagedAttentionArgs a = PagedAttentionArgs::from(call);
  const AttentionGeometry g = AttentionGeometry::of(a);
  return static_cast<size_t>(num_threads) * AttentionScratch::bytes(g) +
         static_cast<size_t>(max_split_items(a, num_threads) * partial_floats(a, g)) *
             sizeof(float);
}

void paged_attention(ops::OpContext& context, const PagedAttentionArgs& a,
                     const AttentionMicro& micro) noexcept {
  const AttentionGeometry g = AttentionGeometry::of(a);
  ThreadPool& pool = *context.pool;
  std::byte* const workspace = context.workspace.data();
  if (should_split(a, pool.num_threads())) return run_split(pool, a, g, micro, workspace);

  const int64_t joined = max_joined(a, g, pool.num_threads());
  const int64_t num_items = ItemList(a, g, joined).size();
  // Items differ in length, so threads take the next one when they are free; who computes an item
  // does not change it.
  std::atomic<int64_t> next = 0;
  pool.run([&](int thread_idx) {
    const size_t offset = static_cast<size_t>(thread_idx) * AttentionScratch::bytes(g);
    AttentionWorker worker(a, g, micro, AttentionScratch::at(workspace + offset, g));
    ItemList items(a, g, joined);
    take_in_turn(next, num_items, [&](int64_t i, std::optional<int64_t> after) {
      const AttentionItem item = items.seek(i);
      if (after) worker.expect(items.seek(*after));
      worker.run(item);
    });
  });
}

}  // namespace veloz::cpu
