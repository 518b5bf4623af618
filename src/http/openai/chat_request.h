// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/openai/generation_fields.h"
#include "http/openai/tools.h"

namespace veloz::http::openai {

/// What a conversation becomes a prompt from; /tokenize takes it too.
struct ChatFields {
  std::vector<Json> messages;  // as the template takes them
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  bool add_special_tokens = false;  // the template writes them itself
  std::vector<std::pair<std::string, Json>> template_kwargs;
};

void visit_chat_fields(FieldVisitor& visitor, ChatFields& fields);
/// Throws RequestError where the fields contradict each other.
void settle_chat_fields(const ChatFields& fields);

/// POST /v1/chat/completions.
struct ChatRequest {
  GenerationFields generation;
  ChatFields chat;
  ToolFields tools;
  bool logprobs = false;
  int64_t top_logprobs = 0;
};

void visit_chat_request(FieldVisitor& visitor, ChatRequest& request);

/// `defaults` are the sampling parameters of a request that gives none. Throws RequestError.
ChatRequest parse_chat_request(const Json& body, const SamplingParams& defaults);

}  // namespace veloz::http::openai
