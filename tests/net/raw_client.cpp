// SPDX-License-Identifier: Apache-2.0
#include "net/raw_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

namespace veloz::net {
namespace {

constexpr int kTimeoutMs = 10'000;
constexpr int kSmallSegment = 536;
constexpr int kSmallBuffer = 4096;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  return text;
}

struct EndOfConnection {};

}  // namespace

RawClient::RawClient(uint16_t port, bool has_small_buffers)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (has_small_buffers) {
    ::setsockopt(fd_, IPPROTO_TCP, TCP_MAXSEG, &kSmallSegment, sizeof kSmallSegment);
    set_receive_buffer(kSmallBuffer);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot connect");
}

RawClient::~RawClient() {
  if (fd_ >= 0) ::close(fd_);
}

RawClient::RawClient(RawClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      is_ended_(other.is_ended_),
      buffer_(std::move(other.buffer_)) {}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool RawClient::receive(size_t max_bytes) {
  if (is_ended_) return false;
  pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
  if (::poll(&waiting, 1, kTimeoutMs) <= 0) throw std::runtime_error("nothing comes");
  std::array<char, kMaxReceivedBytes> bytes;
  const ssize_t n = ::recv(fd_, bytes.data(), std::min(max_bytes, bytes.size()), 0);
  is_ended_ = n <= 0;
  if (n > 0) buffer_.append(bytes.data(), static_cast<size_t>(n));
  return n > 0;
}

std::string RawClient::take_line() {
  size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos)
    if (!receive()) throw EndOfConnection{};
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

std::string RawClient::take(size_t num_bytes) {
  while (buffer_.size() < num_bytes)
    if (!receive()) throw EndOfConnection{};
  std::string bytes = buffer_.substr(0, num_bytes);
  buffer_.erase(0, num_bytes);
  return bytes;
}

std::optional<RawResponse> RawClient::read_response(bool is_answer_to_head) try {
  RawResponse response;
  const std::string status_line = take_line();
  if (!status_line.starts_with("HTTP/1.") || status_line.size() < 12)
    throw std::runtime_error("no status line: " + status_line);
  response.version = status_line.substr(0, 8);
  response.status = std::stoi(status_line.substr(9, 3));
  for (std::string line = take_line(); !line.empty(); line = take_line()) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) throw std::runtime_error("no header field: " + line);
    if (!response.headers.emplace(lower(line.substr(0, colon)), line.substr(colon + 2)).second)
      throw std::runtime_error("a header field is doubled: " + line);
  }
  if (is_answer_to_head || response.status / 100 == 1 || response.status == 204) return response;
  if (response.headers.contains("transfer-encoding")) {
    while (const size_t size = std::stoul(take_line(), nullptr, 16)) {
      response.body += take(size);
      if (take(2) != "\r\n") throw std::runtime_error("a chunk does not end");
    }
    if (!take_line().empty()) throw std::runtime_error("a trailer");
  } else if (response.headers.contains("content-length")) {
    response.body = take(std::stoul(response.headers["content-length"]));
  } else {
    response.body = read_all();
  }
  return response;
} catch (const EndOfConnection&) {
  return std::nullopt;
}

std::string RawClient::read_until(std::string_view text) {
  size_t found = 0;
  while ((found = buffer_.find(text)) == std::string::npos)
    if (!receive()) return std::exchange(buffer_, {});
  return take(found + text.size());
}

std::string RawClient::read_all() {
  while (receive()) {
  }
  return std::exchange(buffer_, {});
}

void RawClient::shut_down_sending() { ::shutdown(fd_, SHUT_WR); }

void RawClient::reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(std::exchange(fd_, -1));
}

void RawClient::set_receive_buffer(int num_bytes) {
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &num_bytes, sizeof num_bytes);
}

std::optional<RawResponse> ask(uint16_t port, std::string_view bytes) {
  RawClient client(port);
  client.send(bytes);
  return client.read_response();
}

}  // namespace veloz::net
