// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/exchange.h"
#include "serving/executor.h"

namespace veloz::http {

/// What an error answer says beyond its status and message; absent ones are null in the JSON.
struct ErrorDetails {
  std::optional<std::string> type = std::nullopt;   // absent: as the status has it
  std::optional<std::string> param = std::nullopt;  // the field of the request at fault
  std::optional<std::string> code = std::nullopt;   // "model_not_found"
};

/// {"error": {"message", "type", "param", "code"}}, the form OpenAI's clients read; 503 with
/// Retry-After.
net::Response error_response(int status, std::string_view message,
                             const ErrorDetails& details = {});

/// The one table from what failed to a status; the hint follows the message.
int status_of(ErrorKind kind);
net::Response response_of(const Error& error);
/// 429 with Retry-After.
net::Response response_of(const serving::QueueFull& full);

/// For streams, where the status has gone out: the JSON of the answer alone.
std::string error_json(int status, std::string_view message, const ErrorDetails& details = {});

}  // namespace veloz::http
