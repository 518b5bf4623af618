// SPDX-License-Identifier: Apache-2.0
#include "benchmark/arrivals.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "benchmark/random.h"

namespace veloz::benchmark {

void check(const ArrivalOptions& options) {
  if (!(options.request_rate > 0))
    throw Error(ErrorKind::invalid_input,
                fmt::format("--request-rate {} is not above 0", options.request_rate),
                "give requests per second, or inf to send all at once");
  if (!(options.burstiness > 0))
    throw Error(ErrorKind::invalid_input,
                fmt::format("--burstiness {} is not above 0", options.burstiness),
                "1 is a Poisson process, less is burstier, inf is even");
}

std::vector<double> arrival_times(const ArrivalOptions& options, int64_t count) {
  check(options);
  std::vector<double> times(static_cast<size_t>(count), 0.0);
  if (std::isinf(options.request_rate)) return times;

  RandomStream random(options.seed, RandomUse::arrivals);
  double now = 0;
  for (double& time : times) {
    now += std::isinf(options.burstiness) ? 1 : random.gamma(options.burstiness);
    time = now;
  }
  const double scale = static_cast<double>(count) / options.request_rate / now;
  for (double& time : times) time *= scale;
  return times;
}

}  // namespace veloz::benchmark
