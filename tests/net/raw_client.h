// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace veloz::net {

/// An answer as a strict, independent reader sees it.
struct RawResponse {
  int status = 0;
  std::string version;                         // "HTTP/1.1"
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined
};

/// The shortest request there is.
inline constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

/// A blocking socket to 127.0.0.1 that sends exactly what it is told. With small buffers, on both
/// sides, a server hears early and often how much of its answer was read.
class RawClient {
 public:
  static constexpr size_t kMaxReceivedBytes = 16384;

  explicit RawClient(uint16_t port, bool has_small_buffers = false);
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  /// False where the other side has closed.
  bool send(std::string_view bytes);
  /// Nothing where the connection ends before an answer is whole; throws std::runtime_error where
  /// it is malformed, or nothing comes for ten seconds.
  std::optional<RawResponse> read_response(bool is_answer_to_head = false);
  /// What comes until that text is seen (included), or the end.
  std::string read_until(std::string_view text);
  /// Everything up to the end of the connection.
  std::string read_all();
  /// Waits for at most so many bytes more; false at the end of the connection.
  bool receive(size_t max_bytes = kMaxReceivedBytes);
  void shut_down_sending();
  /// Resets rather than ends the connection.
  void reset();
  /// So that a server's writes are felt early.
  void set_receive_buffer(int num_bytes);

 private:
  std::string take_line();
  std::string take(size_t num_bytes);

  int fd_ = -1;
  bool is_ended_ = false;
  std::string buffer_;
};

/// A whole exchange on a connection of its own.
std::optional<RawResponse> ask(uint16_t port, std::string_view bytes);

}  // namespace veloz::net
