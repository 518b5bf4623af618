// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>

#include "base/error.h"

namespace veloz {
namespace {

TEST(ThreadPool, NamesItsWorkersForThoseWhoLookAtThreads) {
  ThreadPool pool(2);
  std::array<char, 16> name{};
  pool.run([&](int thread_idx) {
    if (thread_idx == 1) pthread_getname_np(pthread_self(), name.data(), name.size());
  });
  EXPECT_STREQ(name.data(), "veloz-pool");
}

TEST(ThreadPool, RunsEachThreadOnceTheCallerBeingThreadZero) {
  for (const int num_threads : {1, 2, 3, 7}) {
    ThreadPool pool(num_threads);
    EXPECT_EQ(pool.num_threads(), num_threads);
    std::vector<std::thread::id> ids(static_cast<size_t>(num_threads));
    std::vector<int> calls(ids.size());
    pool.run([&](int thread_idx) {
      ids[static_cast<size_t>(thread_idx)] = std::this_thread::get_id();
      ++calls[static_cast<size_t>(thread_idx)];
    });
    EXPECT_EQ(ids[0], std::this_thread::get_id());
    EXPECT_TRUE(std::ranges::all_of(calls, [](int n) { return n == 1; }));
    std::ranges::sort(ids);
    EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
  }
}

TEST(ThreadPool, IsReusedManyTimesSpinningAndAsleep) {
  ThreadPool pool(3);
  std::array<int64_t, 3> counts{};
  for (int i = 0; i < 2000; ++i) {
    pool.run([&](int thread_idx) { ++counts[static_cast<size_t>(thread_idx)]; });
    if (i % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // past the spin
  }
  EXPECT_EQ(counts, (std::array<int64_t, 3>{2000, 2000, 2000}));
}

TEST(ThreadPool, WhatWorkersWroteIsSeenAfterRun) {
  ThreadPool pool(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> data(4000, -1);
    pool.for_range(4000, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) data[static_cast<size_t>(i)] = round;
    });
    ASSERT_TRUE(std::ranges::all_of(data, [&](int x) { return x == round; }));
  }
}

struct Range {
  int64_t begin;
  int64_t end;
};

std::vector<Range> ranges_of(ThreadPool& pool, int64_t n, int64_t grain) {
  std::mutex mutex;
  std::vector<Range> ranges;
  pool.for_range(n, grain, [&](int64_t begin, int64_t end) {
    const std::scoped_lock lock(mutex);
    ranges.push_back({begin, end});
  });
  std::ranges::sort(ranges, {}, &Range::begin);
  return ranges;
}

TEST(ThreadPool, ForRangeCoversEverythingOnceInWholeGrains) {
  for (const int num_threads : {1, 2, 3, 7}) {
    ThreadPool pool(num_threads);
    for (const int64_t n : {0, 1, 2, 15, 16, 17, 100, 1000}) {
      for (const int64_t grain : {1, 4, 16, 64}) {
        const std::vector<Range> ranges = ranges_of(pool, n, grain);
        int64_t next = 0;
        for (const auto& [begin, end] : ranges) {
          EXPECT_EQ(begin, next);
          EXPECT_LT(begin, end);
          EXPECT_EQ(begin % grain, 0);
          next = end;
        }
        EXPECT_EQ(next, n) << num_threads << " threads, grain " << grain;
        EXPECT_LE(ranges.size(), static_cast<size_t>(num_threads));
        EXPECT_TRUE(n == 0 || n > grain || ranges.size() == 1);
      }
    }
  }
}

TEST(ThreadPool, SplitsTheSameWayEveryTime) {
  ThreadPool pool(3);
  const std::vector<Range> first = ranges_of(pool, 1001, 8);
  for (int i = 0; i < 20; ++i) {
    const std::vector<Range> again = ranges_of(pool, 1001, 8);
    ASSERT_EQ(again.size(), first.size());
    for (size_t j = 0; j < first.size(); ++j) EXPECT_EQ(again[j].end, first[j].end);
  }
}

TEST(ThreadPool, StopsWithoutEverRunning) {
  for (int i = 0; i < 20; ++i) ThreadPool pool(4);
}

TEST(ThreadPool, RefusesNoThreads) { EXPECT_THROW(ThreadPool(0), Error); }

TEST(ThreadPool, TheDefaultIsAtLeastOneThread) {
  EXPECT_GE(default_num_threads(), 1);
  EXPECT_LE(default_num_threads(), 4096);
}

}  // namespace
}  // namespace veloz
