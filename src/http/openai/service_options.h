// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/openai/grammar_cache.h"

namespace veloz::http::openai {

/// What an operator says about the protocol.
struct ServiceOptions {
  std::vector<std::string> served_model_names = {};  // --served-model-name; none: the engine's name
  std::optional<std::string> chat_template = {};     // --chat-template: its source
  bool uses_generation_config = true;  // --generation-config auto; false: vllm, OpenAI's defaults
  int64_t max_logprobs = 20;           // --max-logprobs
  int num_threads = 2;                 // that read requests: templates, tokenising
  GrammarCache::Options grammars = {};
};

}  // namespace veloz::http::openai
