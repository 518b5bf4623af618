// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/logit_rows.cuh"
#include "cuda/ordered.cuh"

/// Finds the best of many scores by one block, without sorting them all: narrows a range of ranks
/// until what lies in it fits a list in shared memory, and sorts that. `Scores` walks the ranks
/// (RowScores). Ranks differ from each other, so ties need no care, and what is found does not
/// depend on the order in which threads add to the list.
namespace veloz::cuda {

constexpr int kListCapacity = 4096;
constexpr int kNumBuckets = kRowWarps;  // a warp sums up each

/// Ranks from `low` to below `high`.
struct RankRange {
  Rank low = kLowestRank;
  Rank high = kAboveAllRanks;

  __device__ bool contains(Rank rank) const { return rank >= low && rank < high; }
};

struct SelectMemory {
  union {
    double sums[kNumBuckets][kRowThreads];  // a column for each thread
    Rank list[kListCapacity];
  };
  double scan[2][kRowThreads];
  double bucket_sums[kNumBuckets];
  uint64_t warp_bests[kRowWarps];
  int count;
};

/// Puts what lies in `range` into the list, in any order. Returns how many there are; where they do
/// not fit, more than kListCapacity, and the range shrinks to what lies in it.
template <typename Scores>
__device__ int collect(const Scores& scores, RankRange& range, SelectMemory& memory) {
  if (threadIdx.x == 0) memory.count = 0;
  __syncthreads();
  Rank lowest = kAboveAllRanks;
  Rank highest = kNoRank;
  bool is_full = false;
  scores.template for_each<4>([&](Rank rank) {
    if (!range.contains(rank)) return;
    lowest = rank < lowest ? rank : lowest;
    highest = rank > highest ? rank : highest;
    if (is_full) return;
    const int at = atomicAdd(&memory.count, 1);
    is_full = at >= kListCapacity;
    if (!is_full) memory.list[at] = rank;
  });
  __syncthreads();
  const int count = memory.count;
  if (count > kListCapacity)
    range = {~block_max(~lowest, memory.warp_bests), block_max(highest, memory.warp_bests) + 1};
  __syncthreads();  // the count has been read
  return count;
}

/// Puts the first `count` of the list into descending order: a bitonic sort.
__device__ inline void sort_list(int count, SelectMemory& memory) {
  int size = 2;
  while (size < count) size *= 2;
  for (int i = count + static_cast<int>(threadIdx.x); i < size; i += kRowThreads)
    memory.list[i] = kNoRank;
  __syncthreads();
  for (int run = 2; run <= size; run *= 2) {
    for (int step = run / 2; step > 0; step /= 2) {
      for (int i = static_cast<int>(threadIdx.x); i < size / 2; i += kRowThreads) {
        const int a = 2 * i - (i & (step - 1));
        const int b = a + step;
        const Rank of_a = memory.list[a];
        const Rank of_b = memory.list[b];
        const bool is_descending = (a & run) == 0;
        if ((of_a < of_b) == is_descending) {
          memory.list[a] = of_b;
          memory.list[b] = of_a;
        }
      }
      __syncthreads();
    }
  }
}

/// memory.bucket_sums[b] becomes the sum of weigh(rank) over the ranks in `range` with
/// bucket_of(rank) == b, in a fixed order.
template <typename Scores, typename Weigh, typename BucketOf>
__device__ void sum_buckets(const Scores& scores, const RankRange& range, const Weigh& weigh,
                            const BucketOf& bucket_of, SelectMemory& memory) {
  for (int b = 0; b < kNumBuckets; ++b) memory.sums[b][threadIdx.x] = 0;
  scores.for_each([&](Rank rank) {
    if (range.contains(rank)) memory.sums[bucket_of(rank)][threadIdx.x] += weigh(rank);
  });
  __syncthreads();
  const double* const columns = memory.sums[threadIdx.x / 32];
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x % 32); i < kRowThreads; i += 32) sum += columns[i];
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) memory.bucket_sums[threadIdx.x / 32] = sum;
  __syncthreads();
}

/// The best bucket that reaches `target` together with those above it, whose sums are added to
/// `base`; the lowest where none does. base < target, before and after.
__device__ inline int find_bucket(double& base, double target, const SelectMemory& memory) {
  int bucket = kNumBuckets - 1;
  for (; bucket > 0 && base + memory.bucket_sums[bucket] < target; --bucket)
    base += memory.bucket_sums[bucket];
  return bucket;
}

/// Sum over the threads before this one.
__device__ inline double sum_before(double value, SelectMemory& memory) {
  const int thread = static_cast<int>(threadIdx.x);
  int from = 0;
  memory.scan[from][thread] = value;
  __syncthreads();
  for (int step = 1; step < kRowThreads; step *= 2) {
    double sum = memory.scan[from][thread];
    if (thread >= step) sum += memory.scan[from][thread - step];
    from = 1 - from;
    memory.scan[from][thread] = sum;
    __syncthreads();
  }
  const double before = thread == 0 ? 0.0 : memory.scan[from][thread - 1];
  __syncthreads();
  return before;
}

/// How many of the sorted list's first `count` are the fewest whose weights reach `target` together
/// with `base`, all where they do not; at least one.
template <typename Weigh>
__device__ int count_until(int count, double base, double target, const Weigh& weigh,
                           SelectMemory& memory) {
  const int per_thread = (count + kRowThreads - 1) / kRowThreads;
  const int begin = static_cast<int>(threadIdx.x) * per_thread;
  const int end = begin + per_thread < count ? begin + per_thread : count;
  double own = 0;
  for (int i = begin; i < end; ++i) own += weigh(memory.list[i]);
  double sum = base + sum_before(own, memory);
  if (threadIdx.x == 0) memory.count = 1;
  __syncthreads();
  int num_short = 0;
  for (int i = begin; i < end; ++i) {
    sum += weigh(memory.list[i]);
    if (sum < target) ++num_short;
  }
  if (num_short > 0) atomicAdd(&memory.count, num_short);
  __syncthreads();
  const int needed = memory.count;
  __syncthreads();
  return needed < count ? needed : count;
}

/// The lowest of the fewest best ranks in `range` whose weights reach `target` together with
/// `base`, the weight of those above the range; the lowest of all where they do not. base < target.
template <typename Scores, typename Weigh>
__device__ Rank find_edge(const Scores& scores, RankRange range, double base, double target,
                          const Weigh& weigh, SelectMemory& memory) {
  int count = collect(scores, range, memory);
  while (count > kListCapacity) {
    constexpr int kBucketBits = 4;
    static_assert(1 << kBucketBits == kNumBuckets, "a bucket for every value of the bits");
    const Rank span = range.high - range.low;
    const int num_bits = 64 - __clzll(static_cast<long long>(span - 1));
    const int shift = num_bits > kBucketBits ? num_bits - kBucketBits : 0;
    sum_buckets(
        scores, range, weigh,
        [&](Rank rank) { return static_cast<int>((rank - range.low) >> shift); }, memory);
    const int bucket = find_bucket(base, target, memory);
    const Rank from = static_cast<Rank>(bucket) << shift;
    const bool is_last = bucket == kNumBuckets - 1 || span - from <= Rank{1} << shift;
    range = {range.low + from, is_last ? range.high : range.low + from + (Rank{1} << shift)};
    __syncthreads();  // the sums have been read: the list takes their place
    count = collect(scores, range, memory);
  }
  if (count == 0) return range.low;
  sort_list(count, memory);
  const Rank edge = memory.list[count_until(count, base, target, weigh, memory) - 1];
  __syncthreads();
  return edge;
}

/// The lowest of the best `k`; of all where there are fewer.
template <typename Scores>
__device__ Rank find_kth(const Scores& scores, const RankRange& range, int k,
                         SelectMemory& memory) {
  return find_edge(
      scores, range, 0, k, [](Rank) { return 1.0; }, memory);
}

/// A rank that at least the best `k` reach, and seldom many more: the k-th of the threads' own
/// bests.
__device__ inline Rank bound_kth(Rank best_of_thread, int k, SelectMemory& memory) {
  memory.list[threadIdx.x] = best_of_thread;
  sort_list(kRowThreads, memory);
  const Rank bound = k <= kRowThreads ? memory.list[k - 1] : kNoRank;
  __syncthreads();
  return bound > kLowestRank ? bound : kLowestRank;
}

/// Puts the best `k` <= kListCapacity ranks of `range` at the front of the list, best first.
/// Returns how many there are, less than k only where the range has no more.
template <typename Scores>
__device__ int select_best(const Scores& scores, RankRange range, int k, SelectMemory& memory) {
  int count = collect(scores, range, memory);
  if (count > kListCapacity) {
    range.low = find_kth(scores, range, k, memory);
    count = collect(scores, range, memory);
  }
  sort_list(count, memory);
  return count < k ? count : k;
}

}  // namespace veloz::cuda
