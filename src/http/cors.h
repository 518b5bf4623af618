// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/exchange.h"

namespace veloz::http {

/// Which web pages of other origins may use the server from a browser. With none, no page may.
class Cors {
 public:
  /// "https://example.org", or "*" for any.
  explicit Cors(std::vector<std::string> allowed_origins);

  /// What to put into the answer to that request; nothing where its origin is not allowed, or none.
  net::Headers headers_for(const net::Request& request) const;
  /// The answer to a browser's question before its request, where this is one.
  std::optional<net::Response> preflight(const net::Request& request) const;

 private:
  bool allows(std::string_view origin) const;

  std::vector<std::string> allowed_origins_;
  bool allows_any_;
};

}  // namespace veloz::http
