// SPDX-License-Identifier: Apache-2.0
#include "cli/describe_running.h"

#include <fmt/format.h>

#include <algorithm>

namespace veloz::cli {
namespace {

constexpr size_t kMaxDescribed = 32;

}  // namespace

std::string describe_running(std::span<const serving::RunningRequest> running) {
  std::string text;
  for (const serving::RunningRequest& request :
       running.first(std::min(running.size(), kMaxDescribed)))
    text += fmt::format(
        "{}request {}: {} prompt + {} output tokens, {} computed, {} sequences, "
        "{} blocks, {:.1f} s old",
        text.empty() ? "" : "; ", request.label, request.num_prompt_tokens,
        request.num_output_tokens, request.num_computed, request.num_sequences, request.num_blocks,
        request.age_s);
  if (running.size() > kMaxDescribed)
    text += fmt::format("; and {} more", running.size() - kMaxDescribed);
  return text;
}

}  // namespace veloz::cli
