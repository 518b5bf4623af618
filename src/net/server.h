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

#include "net/exchange.h"
#include "net/request_parser.h"

namespace veloz::net {

struct TlsFiles {
  std::filesystem::path certificate_chain;  // PEM, the server's own certificate first
  std::filesystem::path private_key;        // PEM, without passphrase
};

struct ServerTimeouts {
  std::chrono::milliseconds header{10'000};  // first byte to end of header, TLS handshake likewise
  std::chrono::milliseconds body{60'000};    // end of header to end of body
  std::chrono::milliseconds idle{75'000};    // between requests
  std::chrono::milliseconds write{30'000};   // for 256 KiB of what is sent, or all of it
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // or "0.0.0.0", "::", a host name
  uint16_t port = 8000;               // 0: any that is free
  int num_io_threads = 1;
  std::optional<TlsFiles> tls = {};
  ParserLimits parser = {};
  ServerTimeouts timeouts = {};
  int64_t max_connections = 4096;
  // Of requests that are being read or answered, all connections together.
  size_t max_total_body_bytes = size_t{1024} * 1024 * 1024;
  size_t max_stream_buffer_bytes = size_t{1024} * 1024;  // what one slow client may hold
  Handler handler;                                       // called on the connection's I/O thread
  /// The form of the answers that no handler gives: 400, 408, 413, 431, 500, 503, ... Of a request
  /// that is refused there is what was read of it: `id` and `peer` at least.
  std::function<Response(const Request&, int status, std::string_view message)> error_response = {};
  /// Told of requests that no handler sees, with the status they get.
  std::function<void(const Request&, int status)> on_refusal = {};
  /// Told what goes wrong and concerns nobody's request; from any I/O thread.
  std::function<void(std::string_view)> on_problem = {};
};

struct ServerStats {
  int64_t num_connections = 0;
  int64_t num_exchanges = 0;  // requests that are being answered
  size_t num_body_bytes = 0;  // of those, and of requests that are being read
};

/// Answers HTTP/1.1 and 1.0: keep-alive, pipelined requests one after the other, HEAD,
/// Expect: 100-continue, optionally TLS. Each connection lives on one I/O thread.
class Server {
 public:
  /// Listens from here on. Throws Error: invalid_input for an address or certificate that cannot
  /// be, io where it cannot be listened on.
  explicit Server(ServerOptions options);
  /// As `stop`.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// The port listened on.
  uint16_t port() const;
  ServerStats stats() const;
  /// Closes idle connections, and every other one after the answer it is at. New connections are
  /// still taken, and those that have asked for nothing yet kept, so that a handler can say 503.
  void begin_drain();
  /// Reads the certificate's files again, for new connections. Throws as the constructor does, and
  /// then goes on with the old ones.
  void reload_tls();
  /// Aborts what is not answered, closes everything and waits for the I/O threads. Afterwards
  /// exchanges that are still held do nothing.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::net
