// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "serving/fake_runner.h"
#include "serving/request.h"

namespace veloz::serving {

inline SamplingParams greedy(int64_t max_tokens) {
  SamplingParams params;
  params.max_tokens = max_tokens;
  params.temperature = 0;
  return params;
}

/// What greedy decoding must give, without blocks, batches or chunks.
inline std::vector<int32_t> greedy_tokens(const HashModel& model, std::vector<int32_t> tokens,
                                          int64_t max_tokens) {
  std::vector<int32_t> output;
  while (std::ssize(output) < max_tokens) {
    const std::vector<float> row = model.logits(tokens);
    const auto best = std::max_element(row.begin(), row.end());
    output.push_back(static_cast<int32_t>(best - row.begin()));
    tokens.push_back(output.back());
    if (std::count(model.eos_token_ids.begin(), model.eos_token_ids.end(), output.back()) > 0)
      break;
  }
  return output;
}

}  // namespace veloz::serving
