// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "http/openai/chat_request.h"

namespace veloz::http::openai {

/// POST /tokenize: a text, or a conversation through the chat template.
struct TokenizeRequest {
  std::string model = {};
  std::string prompt = {};  // the text, where there is no conversation
  std::optional<ChatFields> chat = {};
  ToolFields tools = {};
  bool add_special_tokens = true;  // of a text; a conversation has its own
  bool return_token_strs = false;
};

/// The fields of both forms.
void visit_tokenize_request(FieldVisitor& visitor, TokenizeRequest& request);
/// The fields of a text; a conversation has those of visit_chat_fields() and visit_tool_fields().
void visit_tokenized_text(FieldVisitor& visitor, TokenizeRequest& request);
TokenizeRequest parse_tokenize_request(const Json& body);

/// POST /detokenize.
struct DetokenizeRequest {
  std::string model = {};
  std::vector<int32_t> tokens = {};
};

void visit_detokenize_request(FieldVisitor& visitor, DetokenizeRequest& request);
DetokenizeRequest parse_detokenize_request(const Json& body);

}  // namespace veloz::http::openai
