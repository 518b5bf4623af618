// SPDX-License-Identifier: Apache-2.0
#include "cpu/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace veloz::cpu {
namespace {

TEST(ForSharedRanges, CoversEverythingOnceInWholeGrains) {
  for (const int num_threads : {1, 2, 3, 7}) {
    ThreadPool pool(num_threads);
    for (const int64_t grain : {1, 2, 4})
      for (const int64_t n : {0, 1, 3, 4, 5, 31, 32, 33, 704, 2001}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(n));
        std::vector<std::atomic<int>> starts(static_cast<size_t>(num_threads));
        for_shared_ranges(pool, n, grain, [&](int thread_idx) {
          ++starts[static_cast<size_t>(thread_idx)];
          return [&, thread_idx](Range range) {
            EXPECT_EQ(starts[static_cast<size_t>(thread_idx)], 1);
            EXPECT_EQ(range.begin % grain, 0);
            EXPECT_TRUE(range.end % grain == 0 || range.end == n) << range.end;
            for (int64_t i = range.begin; i < range.end; ++i) ++visits[static_cast<size_t>(i)];
          };
        });
        for (const std::atomic<int>& count : visits) EXPECT_EQ(count, 1) << n;
      }
  }
}

/// A thread that is held up leaves the rest of its part to the others.
TEST(ForSharedRanges, GivesTheRestToWhoIsDone) {
  constexpr int64_t kGrains = 64;
  ThreadPool pool(2);
  std::atomic<int64_t> done_by_caller = 0, done_by_other = 0;
  for_shared_ranges(pool, kGrains, 1, [&](int thread_idx) {
    return [&, thread_idx](Range range) {
      if (thread_idx == 1) {
        while (done_by_caller < kGrains * 3 / 8 + kGrains / 4) std::this_thread::yield();
        done_by_other += range.size();
      } else {
        done_by_caller += range.size();
      }
    };
  });
  EXPECT_EQ(done_by_caller + done_by_other, kGrains);
  EXPECT_EQ(done_by_other, kGrains * 3 / 8);
}

}  // namespace
}  // namespace veloz::cpu
