// SPDX-License-Identifier: Apache-2.0
#include "serving/cost_model.h"

#include <algorithm>

namespace veloz::serving {

void StepWork::add_run(int64_t position, int64_t count) {
  num_tokens += count;
  num_attended += count * position + count * (count + 1) / 2;
  num_kv_read += position + count;
}

CostModel::CostModel(const CostCoefficients& start)
    : start_{start.step_s, start.token_s, start.row_s, start.attended_s, start.kv_read_s},
      price_(start_) {}

CostModel::Kinds CostModel::amounts(const StepWork& work) {
  return {1.0, static_cast<double>(work.num_tokens), static_cast<double>(work.num_rows),
          static_cast<double>(work.num_attended), static_cast<double>(work.num_kv_read)};
}

double CostModel::predict(const StepWork& work) const {
  const Kinds amount = amounts(work);
  double seconds = 0;
  for (size_t i = 0; i < kNumKinds; ++i) seconds += amount[i] * price_[i];
  return seconds;
}

// The error is laid on each kind in proportion to its part of the prediction: prices that a step
// says little of hardly move.
void CostModel::observe(const StepWork& work, double seconds) {
  constexpr double kRate = 0.25;
  constexpr double kMostTimes = 2;  // a step that was held up tells of the machine, not of its work
  const double predicted = predict(work);
  if (!(predicted > 0) || !(seconds > 0)) return;
  const double error = std::min(seconds / predicted, kMostTimes) - 1;
  const Kinds amount = amounts(work);
  for (size_t i = 0; i < kNumKinds; ++i) {
    const double share = amount[i] * price_[i] / predicted;
    price_[i] = std::clamp(price_[i] * (1 + kRate * share * error), start_[i] / kMaxFactor,
                           start_[i] * kMaxFactor);
  }
}

int64_t CostModel::fitting_chunk(int64_t wanted, double target_s,
                                 const std::function<StepWork(int64_t)>& work_with) const {
  int64_t fits = 0;
  for (int64_t too_long = wanted + 1; too_long - fits > 1;) {
    const int64_t count = fits + (too_long - fits) / 2;
    (predict(work_with(count)) <= target_s ? fits : too_long) = count;
  }
  return fits;
}

}  // namespace veloz::serving
