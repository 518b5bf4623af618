// SPDX-License-Identifier: Apache-2.0
#include "net/exchange.h"

#include "net/text.h"

namespace veloz::net {

std::optional<std::string_view> Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (equals_ignoring_case(key, name)) return value;
  return std::nullopt;
}

}  // namespace veloz::net
