// SPDX-License-Identifier: Apache-2.0
#include "net/client.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <future>
#include <map>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "net/io_thread.h"
#include "net/no_throw.h"
#include "net/response_parser.h"
#include "net/text.h"
#include "net/tls.h"
#include "net/url.h"

namespace veloz::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Tls = asio::ssl::stream<tcp::socket>;

constexpr size_t kAnswerReadBytes = size_t{16} * 1024;
constexpr std::chrono::milliseconds kTick{50};

/// A connection to a server, with TLS or without.
class Link {
 public:
  explicit Link(tcp::socket socket) : socket_(std::move(socket)) {}
  Link(tcp::socket socket, asio::ssl::context& context)
      : socket_(socket.get_executor()), tls_(std::in_place, std::move(socket), context) {}

  tcp::socket& socket() { return tls_ ? tls_->next_layer() : socket_; }
  Tls* tls() { return tls_ ? &*tls_ : nullptr; }

 private:
  tcp::socket socket_;
  std::optional<Tls> tls_;
};

asio::awaitable<std::pair<error_code, size_t>> read_some(Link& link, asio::mutable_buffer bytes) {
  if (link.tls() != nullptr) {
    const auto [error, n] = co_await link.tls()->async_read_some(bytes, kNoThrow);
    co_return std::pair{error, n};
  }
  const auto [error, n] = co_await link.socket().async_read_some(bytes, kNoThrow);
  co_return std::pair{error, n};
}

asio::awaitable<error_code> write_all(Link& link, asio::const_buffer bytes) {
  if (link.tls() != nullptr) {
    const auto [error, n] = co_await asio::async_write(*link.tls(), bytes, kNoThrow);
    co_return error;
  }
  const auto [error, n] = co_await asio::async_write(link.socket(), bytes, kNoThrow);
  co_return error;
}

std::string request_text(const ClientRequest& request, const Url& url) {
  std::string text =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, url.target, url.authority());
  for (const auto& [name, value] : request.headers) text += fmt::format("{}: {}\r\n", name, value);
  if (!request.body.empty() || request.method != "GET")
    text += fmt::format("Content-Length: {}\r\n", request.body.size());
  text += "\r\n";
  text += request.body;
  return text;
}

Error io_error(const Url& url, std::string_view what, const error_code& error) {
  return Error(ErrorKind::io, fmt::format("{} {}: {}", what, url.authority(), error.message()));
}

}  // namespace

struct Client::State {
  class Job;

  explicit State(ClientOptions client_options)
      : options(std::move(client_options)), io(std::make_shared<IoThread>(kTick, nullptr)) {}

  asio::ssl::context& tls();

  ClientOptions options;
  std::shared_ptr<IoThread> io;
  std::mutex mutex;  // guards next_id and is_stopping
  uint64_t next_id = 0;
  bool is_stopping = false;
  // The rest is the I/O thread's.
  std::unordered_map<uint64_t, Job*> jobs;
  std::unordered_set<std::shared_ptr<asio::steady_timer>> timers;
  std::map<std::string, std::vector<std::unique_ptr<Link>>> idle;  // by scheme and authority
  std::map<std::string, std::vector<tcp::endpoint>> addresses;
  std::shared_ptr<asio::ssl::context> tls_context;
};

asio::ssl::context& Client::State::tls() {
  if (!tls_context) tls_context = make_client_tls(options.ca_file, options.verifies_certificates);
  return *tls_context;
}

/// One request on its way. Owned by its coroutine.
class Client::State::Job final : public Connection {
 public:
  Job(State& state, uint64_t id, const ClientRequest& request, Url url, ClientCallbacks callbacks)
      : state_(state),
        id_(id),
        url_(std::move(url)),
        origin_((url_.is_tls ? "s:" : "p:") + url_.authority()),
        text_(request_text(request, url_)),
        is_head_(request.method == "HEAD"),
        callbacks_(std::move(callbacks)),
        resolver_(state.io->context()) {
    state_.jobs[id_] = this;
    state_.io->add(*this);
  }
  ~Job() override {
    state_.io->remove(*this);
    state_.jobs.erase(id_);
  }

  asio::awaitable<void> run() {
    std::optional<Error> error;
    try {
      // A kept connection may have been closed by the other side meanwhile: once more, anew.
      while (!co_await try_once()) {
      }
    } catch (const Error& e) {
      error = e;
    } catch (const std::exception& e) {  // of a callback
      error = Error(ErrorKind::internal, e.what());
    }
    if (abort_reason_) error = abort_reason_;
    if (error) link_.reset();
    // Out of the books before it is told, so that what is told may start the next.
    state_.io->remove(*this);
    state_.jobs.erase(id_);
    if (callbacks_.on_done) callbacks_.on_done(error);
  }

  void check_deadlines(Clock::time_point now) override {
    if (now < deadline_) return;
    abort_with(Error(ErrorKind::io,
                     is_connected_
                         ? fmt::format("{} sent nothing for {} s", url_.authority(),
                                       seconds(state_.options.read_timeout))
                         : fmt::format("{} did not accept a connection within {} s",
                                       url_.authority(), seconds(state_.options.connect_timeout))));
  }
  void close_if_idle() override {}
  void abort() override { abort_with(Error(ErrorKind::cancelled, "the request was cancelled")); }

 private:
  static double seconds(std::chrono::milliseconds time) {
    return static_cast<double>(time.count()) / 1000;
  }

  void abort_with(Error error) {
    if (abort_reason_) return;
    abort_reason_ = std::move(error);
    resolver_.cancel();
    error_code ignored;
    if (connecting_ != nullptr) connecting_->close(ignored);
    if (link_) link_->socket().close(ignored);
  }

  void require(const error_code& error, std::string_view what) const {
    if (abort_reason_) throw Error(*abort_reason_);
    if (error) throw io_error(url_, what, error);
  }

  /// False where a kept connection turned out to be closed.
  asio::awaitable<bool> try_once() {
    std::vector<std::unique_ptr<Link>>& kept = state_.idle[origin_];
    const bool is_reused = !kept.empty();
    if (is_reused) {
      link_ = std::move(kept.back());
      kept.pop_back();
    } else {
      co_await connect();
    }
    is_connected_ = true;
    deadline_ = Clock::now() + state_.options.read_timeout;
    const error_code error = co_await write_all(*link_, asio::buffer(text_));
    if (error && is_reused && !abort_reason_) co_return false;
    require(error, "sending to");
    const bool is_answered = co_await read(is_reused);
    co_return is_answered;
  }

  asio::awaitable<void> connect() {
    is_connected_ = false;
    deadline_ = Clock::now() + state_.options.connect_timeout;
    const std::vector<tcp::endpoint> endpoints = co_await resolve();
    tcp::socket socket(state_.io->context());
    connecting_ = &socket;
    const auto [error, endpoint] = co_await asio::async_connect(socket, endpoints, kNoThrow);
    connecting_ = nullptr;
    require(error, "connecting to");
    socket.set_option(tcp::no_delay(true));
    if (!url_.is_tls) {
      link_ = std::make_unique<Link>(std::move(socket));
      co_return;
    }
    link_ = std::make_unique<Link>(std::move(socket), state_.tls());
    SSL_set_tlsext_host_name(link_->tls()->native_handle(), url_.host.c_str());
    if (state_.options.verifies_certificates)
      link_->tls()->set_verify_callback(asio::ssl::host_name_verification(url_.host));
    const auto [tls_error] =
        co_await link_->tls()->async_handshake(asio::ssl::stream_base::client, kNoThrow);
    require(tls_error, "TLS handshake with");
  }

  asio::awaitable<std::vector<tcp::endpoint>> resolve() {
    if (const auto known = state_.addresses.find(origin_); known != state_.addresses.end())
      co_return known->second;
    const auto [error, found] =
        co_await resolver_.async_resolve(url_.host, fmt::to_string(url_.port), kNoThrow);
    require(error, "looking up");
    std::vector<tcp::endpoint> endpoints;
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
    state_.addresses[origin_] = endpoints;
    co_return endpoints;
  }

  asio::awaitable<bool> read(bool is_reused) {
    ResponseParser parser({.on_head = callbacks_.on_head, .on_data = callbacks_.on_data}, is_head_);
    std::array<char, kAnswerReadBytes> bytes;
    std::string input;
    bool is_first = true;
    while (!parser.is_done()) {
      const auto [error, n] = co_await read_some(*link_, asio::buffer(bytes));
      if (abort_reason_) throw Error(*abort_reason_);
      if (is_first && error && is_reused) co_return false;
      is_first = false;
      if (error == asio::error::eof || error == asio::ssl::error::stream_truncated)
        parser.end();
      else
        require(error, "receiving from");
      deadline_ = Clock::now() + state_.options.read_timeout;
      if (n > 0) feed(parser, input, {bytes.data(), n});
      if (abort_reason_) throw Error(*abort_reason_);
      if (parser.problem())
        throw Error(ErrorKind::io, fmt::format("{}: {}", url_.authority(), *parser.problem()));
    }
    if (parser.is_keep_alive() && input.empty()) state_.idle[origin_].push_back(std::move(link_));
    co_return true;
  }

  /// Copies only what the parser wants to see again.
  static void feed(ResponseParser& parser, std::string& input, std::string_view bytes) {
    if (!input.empty()) {
      input += bytes;
      input.erase(0, parser.feed(input));
    } else {
      input = bytes.substr(parser.feed(bytes));
    }
  }

  State& state_;
  uint64_t id_;
  Url url_;
  std::string origin_;
  std::string text_;
  bool is_head_;
  ClientCallbacks callbacks_;
  tcp::resolver resolver_;
  tcp::socket* connecting_ = nullptr;
  std::unique_ptr<Link> link_;
  bool is_connected_ = false;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::optional<Error> abort_reason_;
};

Client::Client(ClientOptions options) : state_(std::make_unique<State>(std::move(options))) {}

Client::~Client() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->is_stopping = true;
  }
  state_->io->post([this] {
    state_->io->for_each_connection([](Connection& job) { job.abort(); });
    for (const auto& timer : state_->timers) timer->cancel();
    state_->idle.clear();
  });
  state_->io->join();
  state_->idle.clear();  // of answers that ended after that
}

ClientRequestId Client::send(ClientRequest request, ClientCallbacks callbacks) {
  Url url = parse_url(request.url);
  uint64_t id = 0;
  {
    const std::lock_guard lock(state_->mutex);
    id = ++state_->next_id;
  }
  state_->io->post([this, id, request = std::move(request), url = std::move(url),
                    callbacks = std::move(callbacks)]() mutable {
    auto job =
        std::make_shared<State::Job>(*state_, id, request, std::move(url), std::move(callbacks));
    asio::co_spawn(
        state_->io->context(), [job]() -> asio::awaitable<void> { co_await job->run(); },
        asio::detached);
    const std::lock_guard lock(state_->mutex);
    if (state_->is_stopping) job->abort();
  });
  return ClientRequestId{id};
}

void Client::cancel(ClientRequestId id) {
  state_->io->post([this, id] {
    const auto job = state_->jobs.find(static_cast<uint64_t>(id));
    if (job != state_->jobs.end()) job->second->abort();
  });
}

void Client::run_at(Clock::time_point when, std::function<void()> task) {
  state_->io->post([this, when, task = std::move(task)]() mutable {
    const std::lock_guard lock(state_->mutex);
    if (state_->is_stopping) return;
    auto timer = std::make_shared<asio::steady_timer>(state_->io->context(), when);
    state_->timers.insert(timer);
    timer->async_wait([this, timer, task = std::move(task)](const error_code& error) {
      state_->timers.erase(timer);
      if (!error) task();
    });
  });
}

std::optional<std::string_view> ResponseHead::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (equals_ignoring_case(key, name)) return value;
  return std::nullopt;
}

ClientResponse fetch(Client& client, ClientRequest request) {
  ClientResponse response;
  std::promise<std::optional<Error>> done;
  client.send(std::move(request),
              {.on_head = [&](const ResponseHead& head) { response.head = head; },
               .on_data = [&](std::string_view data) { response.body += data; },
               .on_done = [&](const std::optional<Error>& error) { done.set_value(error); }});
  if (const std::optional<Error> error = done.get_future().get()) throw Error(*error);
  return response;
}

}  // namespace veloz::net
