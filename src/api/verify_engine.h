// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/backend.h"
#include "base/dtype.h"
#include "ops/op.h"

namespace veloz::api {

struct VerifyRequest {
  BackendRequest backend{};       // the CPU is verified in any case
  int64_t num_prompt_tokens = 8;  // of the step that is verified first; one of a token follows
  int64_t num_new_tokens = 8;     // of the greedy generation
  uint64_t seed = 0;              // of the prompt
  std::function<void(int64_t num_done, int64_t total)> on_progress{};  // in steps of the plan
};

/// One output of one step of the plan against the reference's, from the same inputs.
struct OutputCheck {
  std::string phase;  // "prefill" or "decode"
  size_t step = 0;
  ops::Op op{};
  std::string name;    // of the result, as in graph.txt
  std::string kernel;  // that ran
  DType dtype = DType::fp32;
  double max_abs_error = 0;
  double max_rel_error = 0;  // of |reference|, where that is not 0
  double max_ulp = 0;        // spacings of dtype at the reference
  double worst_ratio = 0;    // of error and tolerance; above 1 (or infinite) is out of it
  int64_t num_outside = 0;   // elements

  bool is_within() const { return num_outside == 0; }
};

/// What one device did.
struct DeviceChecks {
  std::string backend;  // "2 threads, avx512_bf16_dot"
  std::vector<OutputCheck> outputs;
  std::vector<int32_t> tokens;              // greedy, from the prompt
  std::optional<int64_t> first_divergence;  // index of the first token that is not the reference's

  int64_t num_outside() const;  // outputs out of their tolerance
};

struct VerifyReport {
  std::string engine;
  std::vector<int32_t> prompt;
  std::vector<int32_t> reference_tokens;
  std::vector<DeviceChecks> devices;

  bool is_within() const;
};

/// Runs the engine's steps one by one on the CPU and, where `device` is one, on the GPU. Each op
/// gets what the references made of all before it, so errors do not add up, and its outputs are
/// held against its own reference within the tolerance that the op declares. Then generates
/// greedily with references only and on each device, undisturbed. Throws as LLM::load;
/// Error(invalid_input) for numbers that the engine's limits do not allow.
VerifyReport verify_engine(const std::filesystem::path& engine, const VerifyRequest& request);

}  // namespace veloz::api
