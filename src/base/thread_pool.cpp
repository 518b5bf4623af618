// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/thread_name.h"

namespace veloz {
namespace {

constexpr std::chrono::microseconds kSpin{50};

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Spins until `ready` or the spin budget is gone; tells whether it became ready.
template <typename Ready>
bool spin_until(const Ready& ready) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) : num_threads_(num_threads) {
  VELOZ_CHECK(num_threads >= 1, "a pool of {} threads", num_threads);
  for (int i = 1; i < num_threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
}

void ThreadPool::run_erased(Function function, const void* argument) {
  if (num_threads_ == 1) {
    function(argument, 0);
    return;
  }
  function_ = function;
  argument_ = argument;
  pending_.store(num_threads_ - 1, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    // The lock orders this wake-up after a sleeper's last look at the epoch.
    { const std::scoped_lock lock(mutex_); }
    wake_.notify_all();
  }
  function(argument, 0);
  while (pending_.load(std::memory_order_acquire) != 0) {
    // A worker that was preempted by the kernel needs our core: give it up after the spin.
    if (!spin_until([&] { return pending_.load(std::memory_order_acquire) == 0; }))
      std::this_thread::yield();
  }
}

void ThreadPool::work(int thread_idx) {
  name_this_thread("veloz-pool");
  uint64_t seen = 0;
  const auto has_work = [&] {
    return epoch_.load(std::memory_order_acquire) != seen ||
           stopping_.load(std::memory_order_relaxed);
  };
  while (true) {
    if (!spin_until(has_work)) {
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, has_work);
      sleepers_.fetch_sub(1, std::memory_order_relaxed);
    }
    if (epoch_.load(std::memory_order_acquire) == seen) return;  // stopping
    ++seen;
    function_(argument_, thread_idx);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

int default_num_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int threads = 1;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) threads = std::max(1, CPU_COUNT(&set));
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  int64_t period = 0;
  if (file >> quota >> period && quota != "max" && period > 0) {
    const int64_t limit = (std::strtoll(quota.c_str(), nullptr, 10) + period - 1) / period;
    if (limit >= 1) threads = static_cast<int>(std::min<int64_t>(threads, limit));
  }
  return threads;
}

}  // namespace veloz
