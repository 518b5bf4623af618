// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "http/openai/generation_fields.h"

namespace veloz::http::openai {

/// A prompt as it was sent: text, or token ids.
using PromptInput = std::variant<std::string, std::vector<int32_t>>;

/// POST /v1/completions.
struct CompletionRequest {
  GenerationFields generation;
  std::vector<PromptInput> prompts;  // at least one
  bool add_special_tokens = true;
  /// Only the echo is wanted (max_tokens 0): clients score prompts so.
  bool is_echo_only = false;
};

void visit_completion_request(FieldVisitor& visitor, CompletionRequest& request);

/// As parse_chat_request.
CompletionRequest parse_completion_request(const Json& body, const SamplingParams& defaults);

/// `prompt`: a string, a list of strings, token ids, or a list of lists of token ids.
std::vector<PromptInput> read_prompts(const Json& value);

}  // namespace veloz::http::openai
