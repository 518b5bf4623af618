// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>

namespace veloz::http {

struct RateLimit {
  double requests_per_minute = 0;  // > 0
  double burst = 0;                // requests at once after a pause, >= 1
};

/// A token bucket. Not for more than one thread at a time.
class RateLimiter {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  RateLimiter(const RateLimit& limit, TimePoint now);

  /// Takes one request; where there is none to take, the seconds until there is.
  [[nodiscard]] std::optional<double> try_take(TimePoint now);

 private:
  RateLimit limit_;
  double available_;
  TimePoint last_;
};

}  // namespace veloz::http
