// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "profile/plan_report.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz::api {

/// A model, how it would be built where it is no engine yet, and how it would be served.
struct PlanRequest {
  BuildOptions build;
  LLMOptions llm;
  std::optional<uint64_t> memory_bytes;        // absent: what is free here
  std::optional<profile::MachinePeaks> peaks;  // absent: measured here
  std::vector<int64_t> batch_sizes;            // as in ProfileRequest
  std::optional<int64_t> prefill, context;     // likewise
};

/// Nothing is loaded or built. Throws Error as `build` and LLM::load do for a model or flags that
/// cannot be, but not for one that does not fit.
profile::PlanReport plan_model(const PlanRequest& request);

/// "dram_read=48,fp32_fma=226,bf16_dot=440,int8_dot=917", in GB/s and Gop/s; the last two may be
/// absent. Throws Error(invalid_input).
profile::MachinePeaks parse_peaks(std::string_view text);

}  // namespace veloz::api
