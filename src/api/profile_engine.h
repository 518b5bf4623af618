// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/backend.h"
#include "engine/plan.h"
#include "profile/report.h"

namespace veloz::api {

/// What to profile, and how.
struct ProfileRequest {
  std::vector<int64_t> batch_sizes;  // sequences that decode, one phase each
  std::optional<int64_t> prefill;    // tokens of a prompt; 0: no such phase
  std::optional<int64_t> context;    // positions before a token that is decoded
  int64_t num_repeats = 5;
  BackendRequest backend{};
  std::function<void(int64_t num_done, int64_t total)> on_progress{};
};

/// Prefill first, then decode in the order of the batch sizes. What is not given is 1, 4, 16
/// sequences, 512 tokens and a context of 256, or as much of that as the engine was built for.
std::vector<profile::Phase> choose_phases(const ProfileRequest& request,
                                          const engine::Limits& limits);

/// Loads the engine and runs its phases. Throws Error(invalid_input) for a phase that no step of
/// the engine can be, and as LLM::load.
profile::ProfileReport profile_engine(const std::filesystem::path& engine,
                                      const ProfileRequest& request);

}  // namespace veloz::api
