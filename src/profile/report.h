// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "profile/profiler.h"
#include "profile/serving_gap.h"
#include "profile/summary.h"

namespace veloz::profile {

/// A profile with what a reader must know to judge it.
struct ProfileReport {
  std::string engine;   // its directory
  std::string backend;  // "2 threads, avx512_bf16_dot"
  Profile profile;
  std::vector<std::optional<ServingGap>> gaps = {};  // one per phase; of those that decode
};

/// A heading and a table per phase, what loses most first.
std::string profile_text(const ProfileReport& report, Grouping grouping);

/// The same figures: {"engine", "backend", "repeats", "peaks", "phases": [{"phase", ...,
/// "groups": [...]}]}.
nlohmann::ordered_json profile_json(const ProfileReport& report, Grouping grouping);

/// "48.3 GB/s DRAM read, 226 GFLOP/s fp32_fma, 440 GFLOP/s bf16_dot, 917 GOP/s int8_dot".
std::string describe(const MachinePeaks& peaks);
nlohmann::ordered_json to_json(const MachinePeaks& peaks);

}  // namespace veloz::profile
