// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/exchange.h"

namespace veloz::net {

struct ClientOptions {
  std::chrono::milliseconds connect_timeout{10'000};  // TLS handshake included
  std::chrono::milliseconds read_timeout{600'000};    // without any byte
  std::filesystem::path ca_file = {};                 // empty: the system's certificates
  bool verifies_certificates = true;
};

struct ClientRequest {
  std::string method = "GET";
  std::string url;
  Headers headers = {};  // Host, Content-Length and Connection are written by the client
  std::string body = {};
};

struct ResponseHead {
  int status = 0;
  Headers headers;

  /// First header of that name, whatever its case.
  std::optional<std::string_view> header(std::string_view name) const;
};

/// Called on the client's I/O thread, which they must not hold up. `on_done` is called exactly
/// once, last; with an error where no whole answer came: io, or cancelled.
struct ClientCallbacks {
  std::function<void(const ResponseHead&)> on_head = {};
  std::function<void(std::string_view)> on_data = {};  // of the body, as it comes
  std::function<void(const std::optional<Error>&)> on_done = {};
};

enum class ClientRequestId : uint64_t {};

/// Sends HTTP/1.1 requests, thousands at a time from one I/O thread: a connection each, kept for
/// the next request to the same server. Methods may be called from any thread, callbacks included.
class Client {
 public:
  explicit Client(ClientOptions options = {});
  /// Cancels what is under way; no callback is running afterwards.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Throws Error(invalid_input) for a URL that cannot be; everything else goes to `on_done`.
  ClientRequestId send(ClientRequest request, ClientCallbacks callbacks);
  /// Closes the connection; `on_done` gets Error(cancelled). Unknown ids are ignored.
  void cancel(ClientRequestId id);
  /// Runs the task on the I/O thread at that time or soon after; never after the destructor began.
  void run_at(std::chrono::steady_clock::time_point when, std::function<void()> task);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// An answer read whole.
struct ClientResponse {
  ResponseHead head;
  std::string body;
};

/// Waits for the answer. Not from a callback. Throws Error.
ClientResponse fetch(Client& client, ClientRequest request);

}  // namespace veloz::net
