// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <cstdint>
#include <memory>

#include "net/byte_quota.h"
#include "net/io_thread.h"
#include "net/server.h"

namespace veloz::net {

/// What all connections of a server share.
struct ServerShared {
  ServerOptions options;
  std::shared_ptr<ByteQuota> body_quota;
  std::atomic<bool> is_draining = false;
  std::atomic<bool> is_stopping = false;
  std::atomic<int64_t> num_connections = 0;
  std::atomic<int64_t> num_exchanges = 0;

  Response error_response(const Request& request, int status, std::string_view message) const;
};

/// Serves what comes over `socket`, whose executor is that of `io_thread`, until it is closed; with
/// TLS where `tls` is given. From any thread.
void serve_connection(std::shared_ptr<ServerShared> shared, std::shared_ptr<IoThread> io_thread,
                      boost::asio::ip::tcp::socket socket,
                      std::shared_ptr<boost::asio::ssl::context> tls);

}  // namespace veloz::net
