// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/client.h"

namespace veloz::net {

/// Reads one answer out of a connection's bytes, handing its body on as it comes.
class ResponseParser {
 public:
  struct Sinks {
    std::function<void(const ResponseHead&)> on_head;  // not of interim answers (1xx)
    std::function<void(std::string_view)> on_data;
  };
  ResponseParser(Sinks sinks, bool is_answer_to_head);
  ~ResponseParser();

  /// As RequestParser::feed.
  size_t feed(std::string_view bytes);
  /// The connection has ended, which is the end of some bodies.
  void end();
  bool is_done() const;
  /// Nothing more will come of it.
  const std::optional<std::string>& problem() const;
  /// Whether another request may follow on the connection.
  bool is_keep_alive() const;

 private:
  class Parser;
  void start();

  Sinks sinks_;
  bool is_answer_to_head_;
  std::unique_ptr<Parser> parser_;
  std::optional<std::string> problem_;
};

}  // namespace veloz::net
