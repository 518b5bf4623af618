// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

#include "base/cgroups.h"
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

/// Processors that this process may run on, of however many the machine has.
int num_allowed_processors() {
  constexpr size_t kMaxSets = 1024;  // of 1024 processors each
  for (size_t num_sets = 1; num_sets <= kMaxSets; num_sets *= 2) {
    std::vector<cpu_set_t> sets(num_sets);
    const size_t bytes = num_sets * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, sets.data()) == 0)
      return std::max(1, CPU_COUNT_S(bytes, sets.data()));
    if (errno != EINVAL) break;
  }
  return 1;
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
  const int threads = num_allowed_processors();
  const std::optional<double> quota = cpu_quota();
  return quota && *quota < threads ? std::max(1, static_cast<int>(std::ceil(*quota))) : threads;
}

}  // namespace veloz
