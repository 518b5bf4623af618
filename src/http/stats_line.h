// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "http/step_history.h"
#include "serving/executor.h"

namespace veloz::http {

/// The periodic line vLLM's users know: throughput since the last one, and what goes on now.
class StatsLine {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit StatsLine(TimePoint now) : last_(now) {}

  /// Nothing where nothing happened since the last line and nothing happens now.
  std::optional<std::string> next(const StepHistory::Totals& totals,
                                  const serving::ExecutorStats& stats, TimePoint now);

 private:
  TimePoint last_;
  StepHistory::Totals last_totals_;
};

}  // namespace veloz::http
