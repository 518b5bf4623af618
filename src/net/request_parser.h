// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "net/exchange.h"

namespace veloz::net {

struct ParserLimits {
  size_t max_header_bytes = size_t{32} * 1024;  // request line and header fields
  size_t max_num_headers = 100;
  size_t max_body_bytes = size_t{16} * 1024 * 1024;
};

/// Why a request is refused before any handler sees it; the connection is closed after the answer,
/// because where the next request begins is not sure.
struct Refusal {
  int status = 400;
  std::string message;
};

/// Reads the requests of one connection out of its bytes. Strict where two readers of one message
/// could differ (request smuggling): a Content-Length beside a Transfer-Encoding, a field doubled
/// that may stand once, a line that ends in LF alone, folded fields, NUL, sloppy chunks.
class RequestParser {
 public:
  enum class State { start, header, body, complete, refused };

  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;
  RequestParser& operator=(RequestParser&&) noexcept;

  /// Reads on in the connection's bytes and returns how many it is done with: the next call gets
  /// those after them again, followed by what has come since.
  size_t feed(std::string_view bytes);

  State state() const;
  /// In state `refused`.
  const Refusal& refusal() const;
  /// The client waits for "100 Continue" before it sends the body.
  bool wants_continue() const;
  /// Read so far.
  size_t num_body_bytes() const;
  bool is_http_1_0() const;
  bool is_keep_alive() const;

  /// The request (without `peer`); the next one may follow. Before state `complete` what was read
  /// of it, which may be nothing.
  Request take();

 private:
  struct Message;
  std::unique_ptr<Message> message_;
  ParserLimits limits_;
};

}  // namespace veloz::net
