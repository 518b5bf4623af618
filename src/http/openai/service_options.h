// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/openai/grammar_cache.h"
#include "veloz/types.h"

namespace veloz::http::openai {

/// What requests get that say nothing themselves.
struct SamplingDefaults {
  SamplingParams params;
  std::optional<int64_t> max_tokens = {};
};

/// What an operator says about the protocol.
struct ServiceOptions {
  std::vector<std::string> served_model_names = {};  // --served-model-name; none: the engine's name
  std::optional<std::string> chat_template = {};     // --chat-template: its source
  std::optional<SamplingDefaults> defaults = {};     // --generation-config; none: the model's own
  int64_t max_logprobs = 20;                         // --max-logprobs
  int num_threads = 2;                               // that read requests: templates, tokenising
  GrammarCache::Options grammars = {};
};

}  // namespace veloz::http::openai
