// SPDX-License-Identifier: Apache-2.0
#include "net/server_connection.h"

#include <fmt/format.h>
#include <poll.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "net/answer.h"
#include "net/no_throw.h"
#include "net/text.h"
#include "net/write_deadline.h"

namespace veloz::net {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp::socket;
using Tls = asio::ssl::stream<Tcp>;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr size_t kRequestReadBytes = size_t{8} * 1024;
// What a client may send ahead while its last request is being answered. Reading goes on meanwhile
// only to see whether it is still there.
constexpr size_t kMaxReadAheadBytes = size_t{64} * 1024;
// After the last answer: time and bytes for a client that is still sending, so that it can read the
// answer before its connection is reset.
constexpr std::chrono::milliseconds kLingerTime{2'000};
constexpr size_t kMaxLingerBytes = size_t{16} * 1024 * 1024;

/// Two flows share a connection: the coroutine `read_loop` reads, and `flush` sends: at once what
/// the kernel takes, the rest by a chain of write completions. Requests are answered one after the
/// other; what a client sends ahead waits in `input_`.
template <typename Stream>
class ServerConnection final : public Connection,
                               public AnswerOutlet,
                               public std::enable_shared_from_this<ServerConnection<Stream>> {
  static constexpr bool kIsTls = std::is_same_v<Stream, Tls>;

 public:
  ServerConnection(std::shared_ptr<ServerShared> shared, std::shared_ptr<IoThread> io_thread,
                   Stream stream, std::shared_ptr<asio::ssl::context> tls)
      : shared_(std::move(shared)),
        io_thread_(std::move(io_thread)),
        tls_(std::move(tls)),
        stream_(std::move(stream)),
        room_(stream_.get_executor()),
        parser_(shared_->options.parser),
        body_share_(shared_->body_quota),
        write_deadline_(shared_->options.timeouts.write) {
    is_surplus_ = ++shared_->num_connections > shared_->options.max_connections;
  }
  ~ServerConnection() override {
    close();
    --shared_->num_connections;
  }

  void start() {
    error_code ignored;
    peer_ = socket().remote_endpoint(ignored).address().to_string();
    socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    socket().non_blocking(true, ignored);
    io_thread_->add(*this);
    if (shared_->is_stopping) return abort();
    asio::co_spawn(
        stream_.get_executor(),
        [self = this->shared_from_this()]() -> asio::awaitable<void> { co_await self->serve(); },
        asio::detached);
  }

  void flush() override;
  bool has_room() override;
  void give_up() override { reset(); }
  void check_deadlines(Clock::time_point now) override;
  /// A connection that has sent nothing yet was opened for a request: that is answered.
  void close_if_idle() override {
    if (has_asked_ && !answer_ && !is_closing_ && input_.empty() &&
        parser_.state() == RequestParser::State::start)
      close();
  }
  void abort() override { close(); }

 private:
  asio::awaitable<void> serve();
  asio::awaitable<void> read_loop();
  asio::awaitable<void> wait_for_room();
  asio::awaitable<void> linger();
  void advance();
  void set_read_deadline();
  void dispatch();
  void refuse(int status, std::string_view message);
  void begin_answer(Request request, const Framing& framing);
  void finish_answer();
  void send();
  void write_some();
  void on_written(const error_code& error, size_t num_bytes);
  bool note_sent(size_t num_bytes);
  void close();
  void reset();

  Tcp& socket() {
    if constexpr (kIsTls)
      return stream_.next_layer();
    else
      return stream_;
  }

  std::shared_ptr<ServerShared> shared_;
  std::shared_ptr<IoThread> io_thread_;
  std::shared_ptr<asio::ssl::context> tls_;
  Stream stream_;
  asio::steady_timer room_;  // cancelled when input_ may be read on
  RequestParser parser_;
  // Of the request being read.
  ByteShare body_share_;
  RequestParser::State deadline_state_ = RequestParser::State::start;  // read_deadline_ is its
  std::string peer_;
  std::string input_;
  std::string output_;       // being sent
  size_t num_sent_ = 0;      // of output_
  bool is_interim_ = false;  // output_ is "100 Continue", not the answer's
  bool has_asked_ = false;   // a first request
  bool is_surplus_ = false;  // one more than the server takes
  bool is_writing_ = false;
  bool is_closing_ = false;  // after the answer that is being sent, or already
  bool is_lingering_ = false;
  bool is_closed_ = false;
  std::shared_ptr<Answer> answer_;
  std::optional<Clock::time_point> read_deadline_;
  WriteDeadline write_deadline_;
};

template <typename Stream>
asio::awaitable<void> ServerConnection<Stream>::serve() {
  if constexpr (kIsTls) {
    read_deadline_ = Clock::now() + shared_->options.timeouts.header;
    const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kNoThrow);
    if (error) {
      close();
      co_return;
    }
  }
  read_deadline_ = Clock::now() + shared_->options.timeouts.idle;
  co_await read_loop();
  if (!is_closed_) co_await linger();
  close();
}

template <typename Stream>
asio::awaitable<void> ServerConnection<Stream>::read_loop() {
  std::array<char, kRequestReadBytes> bytes;
  while (!is_closed_ && !is_lingering_) {
    if (input_.size() >= kMaxReadAheadBytes && answer_) {
      co_await wait_for_room();
      continue;
    }
    const auto [error, num_bytes] = co_await stream_.async_read_some(asio::buffer(bytes), kNoThrow);
    if (is_closed_ || is_lingering_) co_return;
    if (error == asio::error::eof && is_closing_) {  // it may still read what it is refused with
      while (!is_closed_ && !is_lingering_) co_await wait_for_room();
      co_return;
    }
    if (error) {
      close();
      co_return;
    }
    if (is_closing_) continue;  // what comes after the last request is of no interest
    input_.append(bytes.data(), num_bytes);
    advance();
  }
}

template <typename Stream>
asio::awaitable<void> ServerConnection<Stream>::wait_for_room() {
  room_.expires_at(asio::steady_timer::time_point::max());
  (void)co_await room_.async_wait(kNoThrow);
}

/// Reads on for a while, so that the client can take the answer before it sees the end.
template <typename Stream>
asio::awaitable<void> ServerConnection<Stream>::linger() {
  read_deadline_ = Clock::now() + kLingerTime;
  if constexpr (kIsTls) {
    (void)co_await stream_.async_shutdown(kNoThrow);
  } else {
    error_code error;
    stream_.shutdown(Tcp::shutdown_send, error);
    std::array<char, kRequestReadBytes> bytes;
    for (size_t num_bytes = 0; !error && num_bytes < kMaxLingerBytes;) {
      const auto [read_error, n] = co_await stream_.async_read_some(asio::buffer(bytes), kNoThrow);
      error = read_error;
      num_bytes += n;
    }
  }
}

/// Reads requests out of the input until one is to be answered.
template <typename Stream>
void ServerConnection<Stream>::advance() {
  if (answer_ || is_closing_ || input_.empty()) return;
  if (is_surplus_) return refuse(503, "this server has as many connections as it takes");
  input_.erase(0, parser_.feed(input_));
  if (!body_share_.grow_to(parser_.num_body_bytes()))
    return refuse(503, fmt::format("the requests that this server holds have all the {} bytes that "
                                   "it takes together; try again later",
                                   shared_->options.max_total_body_bytes));
  switch (parser_.state()) {
    case RequestParser::State::complete:
      return dispatch();
    case RequestParser::State::refused:
      return refuse(parser_.refusal().status, parser_.refusal().message);
    case RequestParser::State::body:
      if (parser_.wants_continue() && !is_writing_ && output_.empty()) {
        output_ = "HTTP/1.1 100 Continue\r\n\r\n";
        is_interim_ = true;
        send();
      }
      return set_read_deadline();
    case RequestParser::State::start:
    case RequestParser::State::header:
      return set_read_deadline();
  }
}

template <typename Stream>
void ServerConnection<Stream>::set_read_deadline() {
  if (parser_.state() == deadline_state_) return;
  deadline_state_ = parser_.state();
  const ServerTimeouts& timeouts = shared_->options.timeouts;
  const bool is_body = deadline_state_ == RequestParser::State::body;
  read_deadline_ = Clock::now() + (is_body ? timeouts.body : timeouts.header);
}

template <typename Stream>
void ServerConnection<Stream>::dispatch() {
  const bool is_http_1_0 = parser_.is_http_1_0();
  const bool is_keep_alive = parser_.is_keep_alive() && !shared_->is_draining;
  Request request = parser_.take();
  const bool is_head = request.method == "HEAD";
  begin_answer(std::move(request),
               {.is_http_1_0 = is_http_1_0, .is_head = is_head, .is_keep_alive = is_keep_alive});
  try {
    shared_->options.handler(answer_->hand_out());
  } catch (const std::exception& e) {  // the exchange is dropped by now, and so answered
    if (shared_->options.on_problem) shared_->options.on_problem(e.what());
  }
}

template <typename Stream>
void ServerConnection<Stream>::refuse(int status, std::string_view message) {
  const std::string text(message);  // the parser's own goes with the request
  is_closing_ = true;
  input_ = {};
  Request request = parser_.take();
  request.body.clear();
  request.body.shrink_to_fit();
  body_share_ = {};
  const bool is_head = request.method == "HEAD";
  begin_answer(std::move(request), {.is_head = is_head, .is_keep_alive = false});
  if (shared_->options.on_refusal) shared_->options.on_refusal(answer_->request(), status);
  answer_->respond(shared_->error_response(answer_->request(), status, text));
}

template <typename Stream>
void ServerConnection<Stream>::begin_answer(Request request, const Framing& framing) {
  has_asked_ = true;
  request.peer = peer_;
  read_deadline_.reset();
  ++shared_->num_exchanges;
  Response if_dropped =
      shared_->error_response(request, 500, "the server failed to answer this request");
  answer_ = std::make_shared<Answer>(
      Answer::Setup{.request = std::move(request),
                    .body_share = std::exchange(body_share_, ByteShare(shared_->body_quota)),
                    .framing = framing,
                    .io_thread = io_thread_,
                    .outlet = this->weak_from_this(),
                    .max_buffered_bytes = shared_->options.max_stream_buffer_bytes,
                    .if_dropped = std::move(if_dropped)});
}

template <typename Stream>
void ServerConnection<Stream>::finish_answer() {
  const bool goes_on = answer_->is_keep_alive() && !is_closing_ && !shared_->is_draining;
  answer_.reset();
  --shared_->num_exchanges;
  error_code ignored;
  if (goes_on) {
    deadline_state_ = RequestParser::State::start;
    read_deadline_ = Clock::now() + shared_->options.timeouts.idle;
    advance();
  } else {
    is_closing_ = is_lingering_ = true;
    socket().cancel(ignored);
  }
  room_.cancel();
}

template <typename Stream>
void ServerConnection<Stream>::flush() {
  if (is_writing_ || is_closed_ || !answer_) return;
  if (answer_->take(output_))
    send();
  else if (answer_->is_finished())
    finish_answer();
}

template <typename Stream>
bool ServerConnection<Stream>::has_room() {
  pollfd poll{.fd = socket().native_handle(), .events = POLLOUT, .revents = 0};
  return is_closed_ || ::poll(&poll, 1, 0) != 0;
}

/// Of what the kernel takes at once nobody needs to be told: that saves the way through the
/// reactor. TLS has no call that would not wait.
template <typename Stream>
void ServerConnection<Stream>::send() {
  write_deadline_.begin(Clock::now());
  if constexpr (!kIsTls) {
    error_code error;
    const size_t num_bytes = stream_.write_some(asio::buffer(output_), error);
    if (error && error != asio::error::would_block) return close();
    if (note_sent(num_bytes)) {
      // What has been written since has posted a flush of its own.
      if (answer_ && answer_->is_finished()) finish_answer();
      return;
    }
  }
  write_some();
}

template <typename Stream>
void ServerConnection<Stream>::write_some() {
  is_writing_ = true;
  stream_.async_write_some(
      asio::buffer(output_.data() + num_sent_, output_.size() - num_sent_),
      [self = this->shared_from_this()](const error_code& error, size_t num_bytes) {
        self->on_written(error, num_bytes);
      });
}

template <typename Stream>
void ServerConnection<Stream>::on_written(const error_code& error, size_t num_bytes) {
  is_writing_ = false;
  if (is_closed_) return;
  if (error) return close();
  if (!note_sent(num_bytes)) return write_some();
  flush();
}

/// Whether that was the rest of the output.
template <typename Stream>
bool ServerConnection<Stream>::note_sent(size_t num_bytes) {
  num_sent_ += num_bytes;
  if (!is_interim_) answer_->on_sent(num_bytes);
  if (num_sent_ < output_.size()) {
    write_deadline_.on_sent(num_bytes, Clock::now());
    return false;
  }
  output_.clear();
  if (output_.capacity() > kMaxReadAheadBytes) output_.shrink_to_fit();
  num_sent_ = 0;
  is_interim_ = false;
  write_deadline_.end();
  return true;
}

template <typename Stream>
void ServerConnection<Stream>::check_deadlines(Clock::time_point now) {
  if (write_deadline_.is_over(now)) return reset();
  if (!read_deadline_ || *read_deadline_ > now) return;
  if (is_lingering_ || deadline_state_ == RequestParser::State::start) return close();
  refuse(408, deadline_state_ == RequestParser::State::header ? "the header did not come in time"
                                                              : "the body did not come in time");
}

template <typename Stream>
void ServerConnection<Stream>::close() {
  if (is_closed_) return;
  is_closed_ = true;
  read_deadline_.reset();
  write_deadline_.end();
  io_thread_->remove(*this);
  error_code ignored;
  socket().close(ignored);
  room_.cancel();
  if (!answer_) return;
  --shared_->num_exchanges;
  std::exchange(answer_, nullptr)->abort();
}

/// Closes and lets the kernel forget what it has not sent, for a client that does not read.
template <typename Stream>
void ServerConnection<Stream>::reset() {
  error_code ignored;
  socket().set_option(asio::socket_base::linger(true, 0), ignored);
  close();
}

template <typename Stream, typename... Args>
void start_connection(Args&&... args) {
  std::make_shared<ServerConnection<Stream>>(std::forward<Args>(args)...)->start();
}

}  // namespace

Response ServerShared::error_response(const Request& request, int status,
                                      std::string_view message) const {
  if (options.error_response) return options.error_response(request, status, message);
  return {.status = status, .content_type = "text/plain", .body = std::string(message) + "\n"};
}

void serve_connection(std::shared_ptr<ServerShared> shared, std::shared_ptr<IoThread> io_thread,
                      Tcp socket, std::shared_ptr<asio::ssl::context> tls) {
  IoThread& thread = *io_thread;
  // Sockets can be moved but not copied, so the task shares this one.
  auto owned = std::make_shared<Tcp>(std::move(socket));
  thread.post(
      [shared = std::move(shared), io_thread = std::move(io_thread), owned, tls = std::move(tls)] {
        if (tls)
          start_connection<Tls>(shared, io_thread, Tls(std::move(*owned), *tls), tls);
        else
          start_connection<Tcp>(shared, io_thread, std::move(*owned), tls);
      });
}

}  // namespace veloz::net
