// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/plan.h"
#include "profile/footprint.h"
#include "profile/machine_peaks.h"
#include "profile/speed.h"

namespace veloz::profile {

/// What a model will take and give, before anything is loaded.
struct PlanReport {
  std::string model;    // engine or model directory
  std::string backend;  // "2 threads, avx512_bf16_dot"
  engine::Limits limits;
  Footprint footprint;
  uint64_t memory_bytes = 0;  // that there is, or that was given
  MachinePeaks peaks;
  bool are_peaks_given = false;  // rather than measured here
  std::vector<SpeedPrediction> speeds;

  bool fits() const { return footprint.total_bytes() <= memory_bytes; }
};

std::string plan_text(const PlanReport& report);

/// {"model", "backend", "limits", "memory": {...}, "peaks", "speed": [...], "advice": [...]}
nlohmann::ordered_json plan_json(const PlanReport& report);

}  // namespace veloz::profile
