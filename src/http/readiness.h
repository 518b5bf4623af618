// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "serving/executor.h"

namespace veloz::http {

struct ReadinessLimits {
  int64_t max_queued_requests = 0;  // 0: any number
  int64_t max_queued_tokens = 0;
  // A step that takes longer than this and than `slow_factor` times its prediction is stuck.
  double min_slow_s = 2;
  double slow_factor = 10;
};

/// Whether a step in flight takes far longer than the cost model says.
bool is_step_slow(const serving::ExecutorStats& stats, std::chrono::steady_clock::time_point now,
                  const ReadinessLimits& limits);

/// Why no further request should be sent here now, or nothing where one may: steps complete in
/// about the time predicted and not in errors, or there are none, and the queue has room.
std::string why_not_ready(const serving::ExecutorStats& stats,
                          std::chrono::steady_clock::time_point now, const ReadinessLimits& limits);

}  // namespace veloz::http
