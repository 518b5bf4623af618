// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/exchange.h"

namespace veloz::net {

/// How an answer is framed: decided by its request and the state of the server.
struct Framing {
  bool is_http_1_0 = false;
  bool is_head = false;       // of a HEAD request: a header without its body
  bool is_keep_alive = true;  // the connection goes on afterwards
  bool is_stream = false;     // the body's length is not known
};

/// Whether an answer of that status has a body at all.
bool has_body(int status);

/// Status line and header fields up to the empty line. Where the response has a field of its own
/// for what is written here, its own stands. Control characters in values become spaces.
std::string response_head(const Response& response, std::string_view request_id,
                          const Framing& framing);

std::string_view reason_phrase(int status);

}  // namespace veloz::net
