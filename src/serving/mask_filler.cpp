// SPDX-License-Identifier: Apache-2.0
#include "serving/mask_filler.h"

#include "base/thread_name.h"

namespace veloz::serving {

void MaskFiller::fill_during(std::span<Generation* const> generations,
                             const std::function<void()>& compute) {
  if (!thread_.joinable())
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
  {
    const std::lock_guard lock(mutex_);
    waiting_ = generations;
  }
  changed_.notify_all();
  try {
    compute();
  } catch (...) {
    wait();  // the generations may end with the caller
    throw;
  }
  wait();
}

void MaskFiller::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty(); });
}

void MaskFiller::work(const std::stop_token& stop) {
  name_this_thread("veloz-masks");
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
    const std::span<Generation* const> generations = waiting_;
    lock.unlock();
    for (Generation* generation : generations) generation->fill_masks();
    lock.lock();
    waiting_ = {};
    changed_.notify_all();
  }
}

}  // namespace veloz::serving
