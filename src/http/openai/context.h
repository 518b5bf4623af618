// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/loaded_model.h"
#include "http/openai/chat_prompt.h"
#include "http/openai/generation_fields.h"
#include "http/openai/service_options.h"

namespace veloz::http::openai {

/// What the endpoints know of the model they serve. Immutable; any thread may use it.
struct Context {
  Context(api::LoadedModel& loaded, const ServiceOptions& options);

  api::LoadedModel& model;
  std::vector<std::string> names;  // the first is the name answers bear
  ChatPrompter prompter;
  SamplingDefaults defaults;
  int64_t max_logprobs = 20;
  int64_t max_model_len = 0;
  int64_t created = 0;  // seconds since 1970: when the server started
  std::string fingerprint;
  /// The name to answer with. Throws RequestError (404) for a model that is not served.
  const std::string& require_model(const std::string& name) const;
};

/// Seconds since 1970.
int64_t now_s();

/// Sampling defaults as vLLM takes them from a model's generation_config.json: temperature, top_p,
/// top_k, min_p, repetition_penalty and max_new_tokens. OpenAI's where it has none. `of_model` is
/// that file as it is read elsewhere.
SamplingDefaults sampling_defaults(std::string_view generation_config,
                                   const SamplingParams& of_model);

}  // namespace veloz::http::openai
