// SPDX-License-Identifier: Apache-2.0
#include "http/openai/work_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

namespace veloz::http::openai {
namespace {

TEST(WorkPool, TakesSoManyTasks) {
  std::promise<void> begun;
  std::promise<void> go_on;
  WorkPool pool(1, 1);
  ASSERT_TRUE(pool.try_submit([&] {
    begun.set_value();
    go_on.get_future().wait();
  }));
  begun.get_future().wait();
  std::promise<void> done;
  EXPECT_TRUE(pool.try_submit([&] { done.set_value(); }));
  EXPECT_FALSE(pool.try_submit([] {}));
  go_on.set_value();
  done.get_future().wait();
  EXPECT_TRUE(pool.try_submit([] {}));
}

TEST(WorkPool, DropsWhatWaitsAtItsEnd) {
  constexpr int kNumTasks = 5000;
  std::atomic<int> num_run = 0;
  std::promise<void> go_on;
  {
    WorkPool pool(1, kNumTasks);
    ASSERT_TRUE(pool.try_submit([&] { go_on.get_future().wait(); }));
    for (int i = 1; i < kNumTasks; ++i)
      ASSERT_TRUE(pool.try_submit([&] {
        ++num_run;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }));
    go_on.set_value();
  }
  EXPECT_LT(num_run, kNumTasks - 1);
}

}  // namespace
}  // namespace veloz::http::openai
