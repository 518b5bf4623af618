// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace veloz {

/// A fixed team of threads that runs one function at a time, the caller being thread 0. `for_range`
/// splits work by thread index; functions that take pieces in turn must not let results depend on
/// who takes which. Idle workers spin for at most 50 us, then sleep. `run` is called by one thread
/// at a time and never from inside itself.
class ThreadPool {
 public:
  /// num_threads >= 1, the caller included.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  /// Calls f(thread_idx) once on each thread and returns when all are done. `f` must not throw.
  template <typename F>
  void run(const F& f) {
    run_erased(
        [](const void* g, int thread_idx) noexcept { (*static_cast<const F*>(g))(thread_idx); },
        &f);
  }

  /// Splits [0, n) into one contiguous range per thread, boundaries at multiples of `grain`, and
  /// calls f(begin, end) for each that is not empty. Small n (one grain) runs on the caller alone.
  template <typename F>
  void for_range(int64_t n, int64_t grain, const F& f) {
    const int64_t grains = (n + grain - 1) / grain;
    if (grains <= 1 || num_threads_ == 1) {
      if (n > 0) f(int64_t{0}, n);
      return;
    }
    run([&](int thread_idx) {
      const int64_t begin = grains * thread_idx / num_threads_ * grain;
      const int64_t end_grain = grains * (thread_idx + 1) / num_threads_;
      const int64_t end = end_grain == grains ? n : end_grain * grain;
      if (begin < end) f(begin, end);
    });
  }

 private:
  using Function = void (*)(const void*, int) noexcept;
  void run_erased(Function function, const void* argument);
  void work(int thread_idx);

  const int num_threads_;
  Function function_ = nullptr;  // guarded by the epoch: written before it rises
  const void* argument_ = nullptr;
  std::atomic<uint64_t> epoch_{0};
  std::atomic<int> pending_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::jthread> workers_;
};

/// Threads this process may use: the affinity mask, limited by the cgroup's CPU quota (rounded up).
int default_num_threads();

}  // namespace veloz
