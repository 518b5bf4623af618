// SPDX-License-Identifier: Apache-2.0
#include "http/openai/work_pool.h"

#include <utility>

#include "base/thread_name.h"

namespace veloz::http::openai {

WorkPool::WorkPool(int num_threads, size_t max_waiting) : max_waiting_(max_waiting) {
  for (int i = 0; i < num_threads; ++i)
    threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
}

WorkPool::~WorkPool() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

bool WorkPool::try_submit(std::function<void()> task) {
  const std::scoped_lock lock(mutex_);
  if (tasks_.size() >= max_waiting_) return false;
  tasks_.push_back(std::move(task));
  has_work_.notify_one();
  return true;
}

void WorkPool::run(const std::stop_token& stop) {
  name_this_thread("veloz-work");
  while (true) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      has_work_.wait(lock, stop, [&] { return !tasks_.empty(); });
      if (stop.stop_requested()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace veloz::http::openai
