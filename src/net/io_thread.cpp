// SPDX-License-Identifier: Apache-2.0
#include "net/io_thread.h"

#include <exception>
#include <utility>

#include "base/thread_name.h"

namespace veloz::net {

IoThread::IoThread(std::chrono::milliseconds tick, std::function<void(std::string_view)> on_problem)
    : work_(context_.get_executor()),
      timer_(context_),
      tick_(tick),
      on_problem_(std::move(on_problem)) {
  sweep();
  thread_ = std::thread([this] { run(); });
}

IoThread::~IoThread() { join(); }

void IoThread::join() {
  if (!thread_.joinable()) return;
  boost::asio::post(context_, [this] {
    // Cancelling does not reach a wait that is over and whose handler is about to run.
    is_ending_ = true;
    timer_.cancel();
  });
  work_.reset();
  thread_.join();
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
  }
  context_.restart();
  context_.poll();  // what came between the end of the thread and the closing
}

void IoThread::run() {
  name_this_thread("veloz-io");
  for (;;) {
    try {
      context_.run();
      return;
    } catch (const std::exception& e) {
      if (on_problem_) on_problem_(e.what());
    }
  }
}

void IoThread::sweep() {
  timer_.expires_after(tick_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || is_ending_) return;
    const auto now = std::chrono::steady_clock::now();
    for_each_connection([now](Connection& connection) { connection.check_deadlines(now); });
    sweep();
  });
}

}  // namespace veloz::net
