// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "http/openai/fields.h"
#include "http/openai/structured_output.h"
#include "veloz/types.h"

namespace veloz::http::openai {

/// What one answer may ask for whatever the endpoint: OpenAI's fields and vLLM's further ones.
struct GenerationFields {
  std::string model = {};      // "" : whichever is served
  SamplingParams params = {};  // without max_tokens, which depends on the prompt
  std::optional<int64_t> max_tokens = {};
  std::optional<int64_t> best_of = {};
  bool use_beam_search = false;
  bool is_streamed = false;
  bool include_usage = false;           // a last chunk with the usage
  bool continuous_usage_stats = false;  // the usage so far in every chunk
  bool skip_special_tokens = true;
  bool echo = false;
  bool return_token_ids = false;
  bool tokens_as_token_ids = false;      // logprobs name tokens as "token_id:17"
  bool answers_prompt_logprobs = false;  // the client asked for them, not an echo
  std::optional<int64_t> truncate_prompt_tokens = {};
  int64_t priority = 0;
  std::string cache_salt = {};
  std::string request_id = {};
  StructuredOutput structured_output = {};
};

/// The fields that both endpoints share.
void visit_generation_fields(FieldVisitor& visitor, GenerationFields& fields);

/// What follows from several fields together. Throws RequestError where they contradict each other.
void settle_generation_fields(GenerationFields& fields);

/// Whether a body asks for beam search, which has no use for the model's sampling defaults.
bool wants_beam_search(const Json& body);

}  // namespace veloz::http::openai
