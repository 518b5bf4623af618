// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/exchange.h"

namespace veloz::http::openai {

/// An exchange without a network whose I/O thread is whoever waits: posted tasks run in `wait`.
class WaitingExchange final : public net::Exchange {
 public:
  explicit WaitingExchange(net::Request request = {}) : request_(std::move(request)) {}

  const net::Request& request() const override { return request_; }
  void respond(net::Response answer) override { end(std::move(answer)); }
  void start_stream(net::Response head) override {
    response = std::move(head);
    if (on_stream_start) on_stream_start();
  }
  bool write(std::string_view piece) override {
    if (is_gone) {
      if (num_refused_writes++ == 0) end(*response);
      return false;
    }
    response->body += piece;
    return true;
  }
  void finish() override {
    is_finished = true;
    end(*response);
  }
  void on_abort(std::function<void()> callback) override { abort_callback = std::move(callback); }
  void post(std::function<void()> task) override {
    const std::scoped_lock lock(mutex_);
    if (is_closed_) return;
    tasks_.push_back(std::move(task));
    has_task_.notify_one();
  }
  /// Nobody waits any more. Tasks hold what holds the exchange.
  void close() {
    std::deque<std::function<void()>> dropped;
    const std::scoped_lock lock(mutex_);
    is_closed_ = true;
    dropped.swap(tasks_);
  }

  /// Runs tasks until the exchange is answered whole, or cannot be written to.
  const net::Response& wait() {
    while (!is_ended_) {
      std::unique_lock lock(mutex_);
      has_task_.wait(lock, [&] { return is_ended_ || !tasks_.empty(); });
      while (!tasks_.empty()) {
        const std::function<void()> task = std::move(tasks_.front());
        tasks_.pop_front();
        lock.unlock();
        task();
        lock.lock();
      }
    }
    return *response;
  }

  std::optional<std::string> header(const std::string& name) const {
    for (const auto& [key, value] : response->headers)
      if (key == name) return value;
    return std::nullopt;
  }

  std::optional<net::Response> response;
  bool is_finished = false;
  bool is_gone = false;
  int num_refused_writes = 0;
  std::function<void()> abort_callback;
  std::function<void()> on_stream_start;

 private:
  // Handlers may answer from threads of their own.
  void end(net::Response answer) {
    const std::scoped_lock lock(mutex_);
    response = std::move(answer);
    is_ended_ = true;
    has_task_.notify_one();
  }

  net::Request request_;
  std::mutex mutex_;
  std::condition_variable has_task_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  bool is_closed_ = false;                   // likewise
  std::atomic<bool> is_ended_ = false;
};

}  // namespace veloz::http::openai
