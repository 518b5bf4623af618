// SPDX-License-Identifier: Apache-2.0
#include "net/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "net/io_thread.h"
#include "net/server_connection.h"
#include "net/tls.h"

namespace veloz::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Connections over the limit that are told so; further ones are closed at once.
constexpr int64_t kMaxSurplusConnections = 64;
constexpr std::chrono::milliseconds kAcceptRetry{100};

std::chrono::milliseconds tick_of(const ServerTimeouts& timeouts) {
  const auto shortest = std::min({timeouts.header, timeouts.body, timeouts.idle, timeouts.write});
  return std::clamp(shortest / 4, std::chrono::milliseconds{5}, std::chrono::milliseconds{250});
}

tcp::endpoint resolve(asio::io_context& context, const std::string& address, uint16_t port) {
  error_code error;
  const asio::ip::address literal = asio::ip::make_address(address, error);
  if (!error) return {literal, port};
  const auto found = tcp::resolver(context).resolve(address, fmt::to_string(port), error);
  if (error || found.empty())
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" is no address to listen on: {}", address, error.message()),
                "give an address of this machine, such as 127.0.0.1 or 0.0.0.0");
  for (const auto& entry : found)
    if (entry.endpoint().address().is_v4()) return entry.endpoint();
  return found.begin()->endpoint();
}

}  // namespace

struct Server::State {
  explicit State(ServerOptions options);

  void listen();
  asio::awaitable<void> accept_loop();

  std::shared_ptr<ServerShared> shared;
  std::mutex tls_mutex;  // guards tls
  std::shared_ptr<asio::ssl::context> tls;
  std::vector<std::shared_ptr<IoThread>> io_threads;
  std::optional<tcp::acceptor> acceptor;
  uint16_t port = 0;
};

Server::State::State(ServerOptions options) : shared(std::make_shared<ServerShared>()) {
  shared->options = std::move(options);
  shared->body_quota = std::make_shared<ByteQuota>(shared->options.max_total_body_bytes);
  VELOZ_CHECK(shared->options.handler != nullptr, "a server needs a handler");
  if (shared->options.tls) tls = make_server_tls(*shared->options.tls);
  for (int i = 0; i < std::max(1, shared->options.num_io_threads); ++i)
    io_threads.push_back(
        std::make_shared<IoThread>(tick_of(shared->options.timeouts), shared->options.on_problem));
  listen();
  asio::co_spawn(acceptor->get_executor(), accept_loop(), asio::detached);
}

void Server::State::listen() {
  const ServerOptions& options = shared->options;
  asio::io_context& context = io_threads[0]->context();
  const tcp::endpoint endpoint = resolve(context, options.address, options.port);
  acceptor.emplace(context);
  error_code error;
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error)
    throw Error(
        ErrorKind::io,
        fmt::format("cannot listen on {}:{}: {}", options.address, options.port, error.message()),
        "stop what listens there, or give another --port");
  port = acceptor->local_endpoint().port();
}

asio::awaitable<void> Server::State::accept_loop() {
  asio::steady_timer timer(acceptor->get_executor());
  for (size_t next = 0; acceptor->is_open(); next = (next + 1) % io_threads.size()) {
    const std::shared_ptr<IoThread>& io_thread = io_threads[next];
    auto [error, socket] =
        co_await acceptor->async_accept(io_thread->context(), asio::as_tuple(asio::use_awaitable));
    if (!acceptor->is_open()) co_return;
    if (error) {  // no descriptors left, most likely
      if (shared->options.on_problem)
        shared->options.on_problem("accepting a connection: " + error.message());
      timer.expires_after(kAcceptRetry);
      (void)co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
      continue;
    }
    if (shared->num_connections >= shared->options.max_connections + kMaxSurplusConnections)
      continue;
    std::shared_ptr<asio::ssl::context> current;
    {
      const std::lock_guard lock(tls_mutex);
      current = tls;
    }
    serve_connection(shared, io_thread, std::move(socket), std::move(current));
  }
}

Server::Server(ServerOptions options) : state_(std::make_unique<State>(std::move(options))) {}

Server::~Server() { stop(); }

uint16_t Server::port() const { return state_->port; }

ServerStats Server::stats() const {
  return {.num_connections = state_->shared->num_connections,
          .num_exchanges = state_->shared->num_exchanges,
          .num_body_bytes = state_->shared->body_quota->num_held()};
}

void Server::begin_drain() {
  state_->shared->is_draining = true;
  for (const auto& thread : state_->io_threads)
    thread->post([&io = *thread] {
      io.for_each_connection([](Connection& connection) { connection.close_if_idle(); });
    });
}

void Server::reload_tls() {
  if (!state_->shared->options.tls) return;
  auto renewed = make_server_tls(*state_->shared->options.tls);
  const std::lock_guard lock(state_->tls_mutex);
  state_->tls = std::move(renewed);
}

void Server::stop() {
  if (state_->shared->is_stopping.exchange(true)) return;
  std::promise<void> closed;
  const bool is_running = state_->io_threads[0]->post([&] {
    error_code ignored;
    state_->acceptor->close(ignored);
    closed.set_value();
  });
  if (is_running) closed.get_future().wait();
  for (const auto& thread : state_->io_threads)
    thread->post([&io = *thread] {
      io.for_each_connection([](Connection& connection) { connection.abort(); });
    });
  for (const auto& thread : state_->io_threads) thread->join();
}

}  // namespace veloz::net
