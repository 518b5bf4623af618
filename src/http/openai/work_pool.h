// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace veloz::http::openai {

/// A few threads for what takes longer than an I/O thread may be held up: reading large bodies,
/// templates, tokenising. Any thread may submit.
class WorkPool {
 public:
  WorkPool(int num_threads, size_t max_waiting);
  /// Drops what waits, and waits for what runs.
  ~WorkPool();

  /// False where too many wait. A task does not throw.
  [[nodiscard]] bool try_submit(std::function<void()> task);

 private:
  void run(const std::stop_token& stop);

  size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable_any has_work_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  std::vector<std::jthread> threads_;
};

}  // namespace veloz::http::openai
