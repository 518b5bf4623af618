// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/thread_pool.h"

namespace veloz::cpu {

/// [begin, end) of something countable.
struct Range {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

/// Part `idx` of [0, n) cut into `parts` pieces that differ by one at most.
inline Range part_of(int64_t n, int64_t idx, int64_t parts) {
  return {n * idx / parts, n * (idx + 1) / parts};
}

/// On each thread f = start(thread_idx), and f(range) for ranges that together make up [0, n), cut
/// at multiples of `grain`: most of its part for each thread, in one range, and what is left in
/// small ones for who comes first. On a machine with other guests, equal parts take unequal times.
template <typename F>
void for_shared_ranges(ThreadPool& pool, int64_t n, int64_t grain, const F& start) {
  constexpr int64_t kSharedOf = 4, kMaxPieces = 8;  // a fourth of each part, in up to so many
  const int64_t num_threads = pool.num_threads();
  const int64_t num_grains = (n + grain - 1) / grain;
  const int64_t largest_part = (num_grains + num_threads - 1) / num_threads;
  const int64_t num_pieces = num_threads * std::min(kMaxPieces, largest_part / kSharedOf);
  const auto part_of_thread = [&](int64_t idx) { return part_of(num_grains, idx, num_threads); };
  const auto shared_of = [](Range part) {
    return Range{part.end - part.size() / kSharedOf, part.end};
  };
  std::atomic<int64_t> next = 0;
  pool.run([&](int thread_idx) {
    const auto f = start(thread_idx);
    const auto run = [&](Range grains) {
      const Range range{grains.begin * grain, std::min(grains.end * grain, n)};
      if (range.size() > 0) f(range);
    };
    const Range own = part_of_thread(thread_idx);
    run({own.begin, shared_of(own).begin});
    if (num_pieces == 0) return;
    for (int64_t i = next++; i < num_pieces; i = next++) {
      const Range shared = shared_of(part_of_thread(i % num_threads));
      const Range piece = part_of(shared.size(), i / num_threads, num_pieces / num_threads);
      run({shared.begin + piece.begin, shared.begin + piece.end});
    }
  });
}

/// Calls f(thread_idx, row) for each of `num_rows` independent rows of `width` elements, on as many
/// threads as have enough to do. Within a step they wait awake: norms of four rows of 2048 gain
/// from a second one.
template <typename F>
void for_each_row_of_thread(ThreadPool& pool, int64_t num_rows, int64_t width, const F& f) {
  constexpr int64_t kElementsPerThread = 4096;
  const int64_t rows_per_part = std::max<int64_t>(1, kElementsPerThread / width);
  const int64_t num_parts = (num_rows + rows_per_part - 1) / rows_per_part;
  if (num_parts <= 1) {
    for (int64_t row = 0; row < num_rows; ++row) f(0, row);
    return;
  }
  pool.run([&](int thread_idx) {
    const Range parts = part_of(num_parts, thread_idx, pool.num_threads());
    const int64_t end = std::min(parts.end * rows_per_part, num_rows);
    for (int64_t row = parts.begin * rows_per_part; row < end; ++row) f(thread_idx, row);
  });
}

/// The same, calling f(row).
template <typename F>
void for_each_row(ThreadPool& pool, int64_t num_rows, int64_t width, const F& f) {
  for_each_row_of_thread(pool, num_rows, width, [&](int, int64_t row) { f(row); });
}

/// Calls f(rows) for ranges of rows of `width` elements, on as many threads as have enough to do:
/// between steps, waking one costs about as much as kElementsPerThread.
template <typename F>
void for_row_ranges(ThreadPool& pool, int64_t num_rows, int64_t width, const F& f) {
  constexpr int64_t kElementsPerThread = 131072, kRows = 6;  // of a tile
  const int64_t rows = std::max<int64_t>(1, kElementsPerThread / width);
  pool.for_range(num_rows, (rows + kRows - 1) / kRows * kRows, [&](int64_t begin, int64_t end) {
    f(Range{begin, end});
  });
}

}  // namespace veloz::cpu
