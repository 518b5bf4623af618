// SPDX-License-Identifier: Apache-2.0
// Hostile requests to the OpenAI protocol, and hostile texts of models that call tools. The first
// byte chooses which endpoint reads the rest; whatever it is, reading gives a request or throws
// RequestError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/openai/chat_request.h"
#include "http/openai/completion_request.h"
#include "http/openai/field_reader.h"
#include "http/openai/request_error.h"
#include "http/openai/tokenize_request.h"
#include "http/openai/tool_parser.h"

namespace {

using namespace veloz::http::openai;

void read(uint8_t endpoint, std::string_view text) {
  const Json body = parse_body(text);
  switch (endpoint % 4) {
    case 0: {
      const ChatRequest request = parse_chat_request(body, {});
      if (request.tools.is_forced()) (void)parse_body(forced_schema(request.tools));
      return;
    }
    case 1:
      (void)parse_completion_request(body, {});
      return;
    case 2:
      (void)parse_tokenize_request(body);
      return;
    default:
      (void)parse_detokenize_request(body);
  }
}

/// Everything a parser said.
struct Said {
  std::string text;
  std::string calls;

  void add(const ParsedPiece& piece) {
    text += piece.content;
    for (const ToolCallPiece& call : piece.calls) {
      if (call.name) calls += "\n" + std::to_string(call.index) + *call.name + "\n";
      calls += call.arguments;
    }
  }
};

// A text gives the same calls whole and a byte at a time.
void parse_calls(ToolFormat format, CallLimit limit, std::string_view text) {
  ToolParser whole(format, limit);
  ToolParser bytes(format, limit);
  Said said;
  Said said_of_bytes;
  said.add(whole.push(text));
  said.add(whole.finish());
  for (const char c : text) said_of_bytes.add(bytes.push(std::string_view(&c, 1)));
  said_of_bytes.add(bytes.finish());
  if (said.text != said_of_bytes.text || said.calls != said_of_bytes.calls) std::abort();
  if (whole.num_calls() != bytes.num_calls()) std::abort();
  if (whole.is_call_open() != bytes.is_call_open()) std::abort();
  if (limit == CallLimit::one && whole.num_calls() > 1) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    read(data[0], text);
  } catch (const RequestError&) {
  }
  for (const ToolFormat format :
       {ToolFormat::hermes, ToolFormat::mistral, ToolFormat::llama3, ToolFormat::forced})
    for (const CallLimit limit : {CallLimit::none, CallLimit::one})
      parse_calls(format, limit, text);
  return 0;
}
