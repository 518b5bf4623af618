// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "serving/request.h"
#include "veloz/types.h"

namespace veloz::serving {

inline constexpr int64_t kMaxLogitBiases = 1024;  // per request: their lists live in fixed buffers
inline constexpr int64_t kMaxStopTokenIds = 64;
inline constexpr int64_t kMaxStopStrings = 64;
inline constexpr int64_t kMaxBadWords = 256;
inline constexpr int64_t kMaxBadWordSequences = 2 * kMaxBadWords;  // with and without a space

/// What sampling parameters are checked against, beside themselves.
struct SamplingLimits {
  int64_t vocab_size = 0;
  int64_t max_beam_width = 8;
  int64_t max_logprobs = 20;
};

/// Throws Error(invalid_input) that names the first parameter that cannot be, its value and the
/// limit.
void validate(const SamplingParams& params, const SamplingLimits& limits);

/// Likewise for what a request limits its tokens with beside its parameters: masks, and the token
/// sequences of bad words.
void validate_constraints(const Request& request, const SamplingLimits& limits);

/// Ids that end a choice: the stop ids and, unless ignored, the engine's end-of-sequence ids;
/// sorted, each once.
std::vector<int32_t> end_token_ids(const SamplingParams& params,
                                   std::span<const int32_t> eos_token_ids);

}  // namespace veloz::serving
