// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "benchmark/serving_metrics.h"

namespace veloz::benchmark {

/// A run over time as SVG: TTFT of each request where it was sent, median and P99 of ITL, output
/// tokens per second (chunks, where the server bundles tokens) and requests under way.
std::string serving_plot(const std::string& title, std::span<const RequestResult> results,
                         double duration_s);

}  // namespace veloz::benchmark
