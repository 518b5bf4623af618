// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>

#include "serving/generation.h"

namespace veloz::serving {

/// Fills masks beside a step that keeps the engine thread itself busy: they are needed only once
/// there are logits. Its thread starts with the first masks.
class MaskFiller {
 public:
  /// Runs `compute` here and fills the masks of `generations` meanwhile; returns after both.
  void fill_during(std::span<Generation* const> generations, const std::function<void()>& compute);

 private:
  void work(const std::stop_token& stop);
  void wait();

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::span<Generation* const> waiting_;  // guarded by mutex_; empty once all are filled
  std::jthread thread_;
};

}  // namespace veloz::serving
