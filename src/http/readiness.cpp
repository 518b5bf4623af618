// SPDX-License-Identifier: Apache-2.0
#include "http/readiness.h"

#include <fmt/format.h>

#include <algorithm>

namespace veloz::http {
namespace {

// One may have been a request's fault.
constexpr int64_t kHopelessSteps = 2;

double elapsed_s(const serving::ExecutorStats& stats, std::chrono::steady_clock::time_point now) {
  return std::chrono::duration<double>(now - stats.step_start.value_or(now)).count();
}

}  // namespace

bool is_step_slow(const serving::ExecutorStats& stats, std::chrono::steady_clock::time_point now,
                  const ReadinessLimits& limits) {
  return elapsed_s(stats, now) >
         std::max(limits.min_slow_s, limits.slow_factor * stats.step_predicted_s);
}

std::string why_not_ready(const serving::ExecutorStats& stats,
                          std::chrono::steady_clock::time_point now,
                          const ReadinessLimits& limits) {
  if (is_step_slow(stats, now, limits))
    return fmt::format("a step has taken {:.1f} s, predicted were {:.3f} s", elapsed_s(stats, now),
                       stats.step_predicted_s);
  if (stats.num_failed_steps >= kHopelessSteps)
    return fmt::format("the last {} steps failed: {}", stats.num_failed_steps, stats.step_error);
  if (limits.max_queued_requests > 0 && stats.num_waiting >= limits.max_queued_requests)
    return fmt::format("the queue is full: {} requests wait", stats.num_waiting);
  if (limits.max_queued_tokens > 0 && stats.num_queued_tokens >= limits.max_queued_tokens)
    return fmt::format("the queue is full: {} prompt tokens wait", stats.num_queued_tokens);
  return {};
}

}  // namespace veloz::http
