// SPDX-License-Identifier: Apache-2.0
#include "http/openai/tokenize_request.h"

#include "http/openai/field_reader.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

constexpr std::string_view kModelDoc = "One of the names at /v1/models; absent, the first.";

}  // namespace

void visit_tokenize_request(FieldVisitor& visitor, TokenizeRequest& request) {
  visitor.string("model", request.model, kModelDoc);
  visitor.boolean("return_token_strs", request.return_token_strs,
                  "Gives each token as the vocabulary spells it, too.");
}

void visit_tokenized_text(FieldVisitor& visitor, TokenizeRequest& request) {
  visitor.complex(
      {.name = "prompt",
       .schema = R"({"type":"string"})",
       .doc = "The text; not together with `messages`.",
       .read = [&request](const Json& value) { request.prompt = read_string("prompt", value); },
       .is_required = true});
  visitor.boolean("add_special_tokens", request.add_special_tokens,
                  "Adds what the tokenizer adds to a text.");
}

TokenizeRequest parse_tokenize_request(const Json& body) {
  TokenizeRequest request;
  FieldReader reader(body);
  visit_tokenize_request(reader, request);
  if (find_field(body, "messages") == nullptr) {
    visit_tokenized_text(reader, request);
    return request;
  }
  if (find_field(body, "prompt") != nullptr)
    throw RequestError({.param = "prompt"}, "\"prompt\" and \"messages\" are both given",
                       "leave one of them out");
  request.chat.emplace();
  visit_chat_fields(reader, *request.chat);
  settle_chat_fields(*request.chat);
  visit_tool_fields(reader, request.tools);
  settle_tool_fields(request.tools, find_field(body, "tool_choice") != nullptr);
  return request;
}

void visit_detokenize_request(FieldVisitor& visitor, DetokenizeRequest& request) {
  visitor.string("model", request.model, kModelDoc);
  visitor.complex(
      {.name = "tokens",
       .schema = R"({"type":"array","items":{"type":"integer","minimum":0}})",
       .doc = "Token ids.",
       .read = [&request](const Json& value) { request.tokens = read_token_ids("tokens", value); },
       .is_required = true});
}

DetokenizeRequest parse_detokenize_request(const Json& body) {
  DetokenizeRequest request;
  FieldReader reader(body);
  visit_detokenize_request(reader, request);
  return request;
}

}  // namespace veloz::http::openai
