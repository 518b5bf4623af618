// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "benchmark/dataset.h"

namespace veloz::benchmark {

enum class Backend { openai, openai_chat };

/// "openai" or "openai-chat". Throws Error(invalid_input).
Backend parse_backend(const std::string& name);
/// "/v1/completions" or "/v1/chat/completions".
std::string default_endpoint(Backend backend);

struct RequestFormat {
  Backend backend = Backend::openai;
  std::string model = {};
  std::optional<double> temperature = 0;  // absent: the server's default
  bool ignore_eos = false;
  nlohmann::json extra_body = nlohmann::json::object();  // fields that go over ours
};

/// The body of a streaming request that asks for its usage. A chat gets the prompt as its one user
/// message; token ids are Error(invalid_input) there.
std::string request_body(const SampleRequest& request, const RequestFormat& format);

}  // namespace veloz::benchmark
