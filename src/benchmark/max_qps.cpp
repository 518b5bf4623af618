// SPDX-License-Identifier: Apache-2.0
#include "benchmark/max_qps.h"

#include <algorithm>
#include <cmath>

namespace veloz::benchmark {

std::optional<double> QpsSearch::next_rate() const {
  if (best_ && lowest_failed_ && *lowest_failed_ <= *best_ * (1 + options_.precision))
    return std::nullopt;
  if (is_hopeless_ || next_ > options_.max_rate) return std::nullopt;
  return next_;
}

void QpsSearch::answer(Outcome outcome) {
  is_hopeless_ = outcome == Outcome::fails_alone;
  if (outcome == Outcome::holds)
    best_ = std::max(best_.value_or(0), next_);
  else
    lowest_failed_ = std::min(lowest_failed_.value_or(next_), next_);
  if (best_ && lowest_failed_)
    next_ = std::sqrt(*best_ * *lowest_failed_);
  else
    next_ = best_ ? *best_ * 2 : *lowest_failed_ / 2;
}

}  // namespace veloz::benchmark
