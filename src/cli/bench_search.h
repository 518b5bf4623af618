// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "benchmark/load_generator.h"
#include "benchmark/serving_metrics.h"

namespace veloz::cli {

struct QpsSearchFlags {
  double goodput_share = 0.99;  // of the requests must meet the limits
  double precision = 0.05;
  bool is_json = false;
};

/// Searches for the highest request rate at which enough requests meet the limits of
/// `metrics.goodput`, printing a row per trial; `run_round(rate, round)` makes one. Returns the
/// exit code: 1 where no rate was found. Throws Error(invalid_input) where there are no limits.
int find_max_qps(const QpsSearchFlags& flags, double first_rate,
                 const benchmark::MetricsOptions& metrics,
                 const std::function<benchmark::LoadRun(double, uint64_t)>& run_round);

}  // namespace veloz::cli
