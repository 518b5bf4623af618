// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "benchmark/offline.h"

namespace veloz::benchmark {

/// A run over time as SVG: requests that have begun and ended, and output tokens of those that have
/// ended. Cancelled ones are left out.
std::string throughput_plot(const std::string& title, const Throughput& throughput);

/// The measured batches as SVG, over the time that they took: each one's latency, and TTFT and TPOT
/// of its requests.
std::string latency_plot(const std::string& title, const Latency& latency);

}  // namespace veloz::benchmark
