// SPDX-License-Identifier: Apache-2.0
#include "http/rate_limit.h"

#include <algorithm>

namespace veloz::http {

RateLimiter::RateLimiter(const RateLimit& limit, TimePoint now)
    : limit_(limit), available_(limit.burst), last_(now) {}

std::optional<double> RateLimiter::try_take(TimePoint now) {
  const double per_second = limit_.requests_per_minute / 60;
  const double elapsed_s = std::chrono::duration<double>(std::max(now, last_) - last_).count();
  available_ = std::min(limit_.burst, available_ + elapsed_s * per_second);
  last_ = std::max(now, last_);
  if (available_ < 1) return (1 - available_) / per_second;
  available_ -= 1;
  return std::nullopt;
}

}  // namespace veloz::http
