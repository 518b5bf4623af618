// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "net/byte_quota.h"
#include "net/exchange.h"
#include "net/io_thread.h"
#include "net/response_head.h"

namespace veloz::net {

/// Whoever sends an answer's bytes: the connection. Called on its I/O thread.
class AnswerOutlet {
 public:
  virtual ~AnswerOutlet() = default;
  /// There are bytes to take, or the answer is complete.
  virtual void flush() = 0;
  /// The client takes bytes at this moment.
  virtual bool has_room() = 0;
  /// The client is not to be waited for any more: aborts its answer and closes.
  virtual void give_up() = 0;
};

/// The server's Exchange: frames what is answered and keeps it until the connection takes it;
/// bounded while the client does not take what was sent before. The handler's threads write, the
/// I/O thread takes; one mutex is between them.
class Answer final : public Exchange, public std::enable_shared_from_this<Answer> {
 public:
  struct Setup {
    Request request;
    ByteShare body_share;  // of the request, which lives as long as this
    Framing framing;
    std::shared_ptr<IoThread> io_thread;
    std::weak_ptr<AnswerOutlet> outlet;
    size_t max_buffered_bytes = 0;
    Response if_dropped;  // the answer of an exchange that nobody answered
  };
  explicit Answer(Setup setup);

  /// What the handler gets: dropping the last copy unanswered answers.
  std::shared_ptr<Exchange> hand_out();

  const Request& request() const override { return setup_.request; }
  void respond(Response response) override;
  void start_stream(Response head) override;
  bool write(std::string_view piece) override;
  void finish() override;
  void on_abort(std::function<void()> callback) override;
  void post(std::function<void()> task) override;

  /// For the connection, on its I/O thread.
  /// Moves the bytes to send next into `bytes`, which is empty; false where there are none.
  bool take(std::string& bytes);
  /// That many of the bytes taken went out.
  void on_sent(size_t num_bytes);
  /// All was framed; what is taken now is the last of it.
  bool is_finished() const;
  bool is_keep_alive() const { return setup_.framing.is_keep_alive; }
  /// The client went away, or the server stops.
  void abort();

 private:
  enum class Stage { waiting, streaming, finished, aborted };

  void drop();
  void schedule_flush();
  void schedule_check();
  void check();
  void notify(const std::function<void()>& callback);

  Setup setup_;
  mutable std::mutex mutex_;
  Stage stage_ = Stage::waiting;
  std::string buffered_;      // framed, not yet taken
  size_t num_in_flight_ = 0;  // taken, not yet sent
  bool is_flush_posted_ = false;
  bool is_check_posted_ = false;
  std::function<void()> on_abort_;
};

}  // namespace veloz::net
