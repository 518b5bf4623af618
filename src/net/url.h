// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace veloz::net {

/// "https://host:8000/v1/models?x=1"
struct Url {
  bool is_tls = false;
  std::string host;  // without the brackets of IPv6
  uint16_t port = 80;
  std::string target;  // "/v1/models?x=1", at least "/"

  /// As the Host field names it: the port only where it is not the scheme's own.
  std::string authority() const;
};

/// Throws Error(invalid_input).
Url parse_url(std::string_view text);

}  // namespace veloz::net
