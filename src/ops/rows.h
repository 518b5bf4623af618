// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "ops/kernel.h"

namespace veloz::ops {

/// Calls f(row, thread_idx) for each of `num_rows` rows, on the context's team where it has one.
/// Rows must not depend on each other. For ops on logits, whose rows are long and few.
template <typename F>
void for_each_row(OpContext& context, int64_t num_rows, const F& f) {
  if (context.pool == nullptr || num_rows < 2) {
    for (int64_t row = 0; row < num_rows; ++row) f(row, 0);
    return;
  }
  const int64_t num_threads = context.pool->num_threads();
  context.pool->run([&](int thread_idx) {
    const int64_t end = num_rows * (thread_idx + 1) / num_threads;
    for (int64_t row = num_rows * thread_idx / num_threads; row < end; ++row) f(row, thread_idx);
  });
}

/// A row's normaliser: log softmax(x)[i] = (x[i] - max) - log_sum, in this order as PyTorch does
/// it.
struct LogSoftmax {
  float max;
  float log_sum;  // of exp(x - max)

  /// NaN and +inf anywhere, or -inf everywhere, make `of` give NaN for all.
  static LogSoftmax over(std::span<const float> row) {
    float max = -std::numeric_limits<float>::infinity();
    for (const float x : row) max = x > max ? x : max;
    double sum = 0;
    for (const float x : row) sum += std::exp(static_cast<double>(x) - max);
    return {max, static_cast<float>(std::log(sum))};
  }
  float of(float x) const { return (x - max) - log_sum; }
};

/// The best `capacity` of what is offered, best first, kept sorted in memory of the caller. Among
/// equals what was offered first stays first, so offer in ascending order of id. O(1) for what is
/// not among the best.
class BestScores {
 public:
  BestScores(std::span<float> scores, std::span<int32_t> ids) : scores_(scores), ids_(ids) {}

  void offer(float score, int32_t id) {
    if (count_ == scores_.size() && (count_ == 0 || !(score > scores_[count_ - 1]))) return;
    size_t at = count_ < scores_.size() ? count_++ : count_ - 1;
    for (; at > 0 && score > scores_[at - 1]; --at) {
      scores_[at] = scores_[at - 1];
      ids_[at] = ids_[at - 1];
    }
    scores_[at] = score;
    ids_[at] = id;
  }
  size_t count() const { return count_; }

 private:
  std::span<float> scores_;
  std::span<int32_t> ids_;
  size_t count_ = 0;
};

}  // namespace veloz::ops
