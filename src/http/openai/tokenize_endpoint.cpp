// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "http/openai/endpoints.h"
#include "http/openai/field_reader.h"
#include "http/openai/request_error.h"
#include "http/openai/tokenize_request.h"
#include "text/detokenizer.h"
#include "text/utf8.h"

namespace veloz::http::openai {

net::Response tokenize(const Context& context, const net::Request& http_request) {
  const TokenizeRequest request = parse_tokenize_request(parse_body(http_request.body));
  (void)context.require_model(request.model);
  const text::Tokenizer& tokenizer = context.model.require_tokenizer();
  const std::vector<int32_t> tokens =
      request.chat
          ? tokenizer.encode(context.prompter.render(*request.chat, request.tools),
                             {.add_special_tokens = request.chat->add_special_tokens})
          : tokenizer.encode(request.prompt, {.add_special_tokens = request.add_special_tokens});
  net::Response response;
  JsonWriter writer(response.body);
  writer.begin_object().field("count", std::ssize(tokens));
  writer.field("max_model_len", context.max_model_len).key("tokens").begin_array();
  for (const int32_t token : tokens) writer.value(token);
  writer.end_array().key("token_strs");
  if (request.return_token_strs) {
    writer.begin_array();
    for (const int32_t token : tokens) writer.value(text::to_valid_utf8(tokenizer.token(token)));
    writer.end_array();
  } else {
    writer.null();
  }
  writer.end_object();
  return response;
}

net::Response detokenize(const Context& context, const net::Request& http_request) {
  const DetokenizeRequest request = parse_detokenize_request(parse_body(http_request.body));
  (void)context.require_model(request.model);
  const text::Tokenizer& tokenizer = context.model.require_tokenizer();
  const int64_t vocab_size = context.model.engine().manifest().model.vocab_size;
  for (size_t i = 0; i < request.tokens.size(); ++i)
    if (request.tokens[i] >= vocab_size)
      throw RequestError({.param = element("tokens", i)},
                         fmt::format("\"{}\" is {}, the vocabulary ends at {}",
                                     element("tokens", i), request.tokens[i], vocab_size - 1));
  net::Response response;
  JsonWriter writer(response.body);
  writer.begin_object();
  writer.field("prompt", text::decode_all(tokenizer, request.tokens, text::SpecialTokens::keep));
  writer.end_object();
  return response;
}

}  // namespace veloz::http::openai
