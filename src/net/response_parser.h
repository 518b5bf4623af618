// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "net/chunk_decoder.h"
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

  /// As RequestParser::feed.
  size_t feed(std::string_view bytes);
  /// The connection has ended, which is the end of some bodies.
  void end();
  bool is_done() const { return at_ == At::done; }
  /// Nothing more will come of it.
  const std::optional<std::string>& problem() const { return problem_; }
  /// Whether another request may follow on the connection.
  bool is_keep_alive() const { return is_done() && is_keep_alive_; }

 private:
  enum class At { header, sized_body, chunked_body, body_to_end, done };

  size_t feed_header(std::string_view bytes);
  size_t feed_body(std::string_view bytes);
  void take_framing(const ResponseHead& head);

  Sinks sinks_;
  bool is_answer_to_head_;
  At at_ = At::header;
  size_t num_scanned_ = 0;  // bytes of the header, of those kept
  uint64_t bytes_left_ = 0;
  std::optional<ChunkDecoder> chunks_;
  bool is_keep_alive_ = false;
  std::optional<std::string> problem_;
};

}  // namespace veloz::net
