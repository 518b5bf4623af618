// SPDX-License-Identifier: Apache-2.0
#include "benchmark/openai_request.h"

#include <fmt/format.h>

#include <variant>

#include "base/error.h"

namespace veloz::benchmark {

Backend parse_backend(const std::string& name) {
  if (name == "openai") return Backend::openai;
  if (name == "openai-chat") return Backend::openai_chat;
  throw Error(ErrorKind::invalid_input, fmt::format("--backend \"{}\" is not known", name),
              "it is openai (/v1/completions) or openai-chat (/v1/chat/completions)");
}

std::string default_endpoint(Backend backend) {
  return backend == Backend::openai ? "/v1/completions" : "/v1/chat/completions";
}

std::string request_body(const SampleRequest& request, const RequestFormat& format) {
  nlohmann::json body = {{"model", format.model},
                         {"max_tokens", request.output_len},
                         {"stream", true},
                         {"stream_options", {{"include_usage", true}}}};
  if (format.temperature) body["temperature"] = *format.temperature;
  if (format.ignore_eos) body["ignore_eos"] = true;
  const auto* const text = std::get_if<std::string>(&request.prompt);
  if (format.backend == Backend::openai_chat) {
    if (text == nullptr)
      throw Error(ErrorKind::invalid_input, "a prompt of token ids cannot be a chat message",
                  "use --backend openai, or give the prompts as text");
    body["messages"] = {{{"role", "user"}, {"content", *text}}};
  } else if (text != nullptr) {
    body["prompt"] = *text;
  } else {
    body["prompt"] = std::get<std::vector<int32_t>>(request.prompt);
  }
  body.update(format.extra_body);
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace veloz::benchmark
