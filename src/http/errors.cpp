// SPDX-License-Identifier: Apache-2.0
#include "http/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace veloz::http {
namespace {

constexpr int kUnavailable = 503;
constexpr const char* kRetryS = "5";  // loading, or too much to do: nobody can tell for how long

std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

nlohmann::json or_null(const std::optional<std::string>& text) {
  return text ? nlohmann::json(*text) : nlohmann::json(nullptr);
}

}  // namespace

std::string error_json(int status, std::string_view message, const ErrorDetails& details) {
  const nlohmann::ordered_json body = {
      {"error",
       {{"message", message},
        {"type", details.type.value_or(std::string(type_of(status)))},
        {"param", or_null(details.param)},
        {"code", or_null(details.code)}}}};
  // A message may quote what the client sent, which need not be UTF-8.
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

net::Response error_response(int status, std::string_view message, const ErrorDetails& details) {
  net::Response response{.status = status, .body = error_json(status, message, details)};
  if (status == kUnavailable) response.headers.emplace_back("Retry-After", kRetryS);
  return response;
}

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_input:
    case ErrorKind::unsupported:
      return 400;
    case ErrorKind::not_found:
      return 404;
    case ErrorKind::cancelled:  // by its deadline
      return 408;
    case ErrorKind::out_of_memory:
      return 503;
    case ErrorKind::corrupt_data:
    case ErrorKind::io:
    case ErrorKind::internal:
      return 500;
  }
  return 500;
}

net::Response response_of(const Error& error) {
  return error_response(status_of(error.kind()),
                        error.hint().empty()
                            ? error.message()
                            : fmt::format("{} ({})", error.message(), error.hint()));
}

net::Response response_of(const serving::QueueFull& full) {
  net::Response response = error_response(429, full.reason, {.code = "queue_full"});
  const double seconds = std::clamp(std::ceil(full.retry_after_s), 1.0, 3600.0);
  response.headers.emplace_back("Retry-After", fmt::format("{:.0f}", seconds));
  return response;
}

}  // namespace veloz::http
