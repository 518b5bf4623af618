// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace veloz::benchmark {

/// When requests arrive, whatever the server does meanwhile (open loop).
struct ArrivalOptions {
  double request_rate = std::numeric_limits<double>::infinity();  // requests/s; infinite: at once
  double burstiness = 1;  // 1: a Poisson process; below: burstier; above: more even
  uint64_t seed = 0;
};

/// Throws Error(invalid_input) for a rate or burstiness that is not positive.
void check(const ArrivalOptions& options);

/// Seconds from the start of the run, rising. Intervals are gamma distributed with shape
/// `burstiness` and scaled so that the last request arrives at count / request_rate: runs of
/// different seeds then offer the same load, as `vllm bench serve` does it. Throws as `check`.
std::vector<double> arrival_times(const ArrivalOptions& options, int64_t count);

}  // namespace veloz::benchmark
