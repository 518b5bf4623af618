// SPDX-License-Identifier: Apache-2.0
#include "net/io_thread.h"

#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "base/thread_name.h"
#include "net/post_together.h"

namespace veloz::net {
namespace {

/// Of a thread inside `post_together`: who is to be woken at its end.
thread_local std::vector<std::shared_ptr<IoThread>>* to_wake = nullptr;

}  // namespace

IoThread::IoThread(std::chrono::milliseconds tick, std::function<void(std::string_view)> on_problem)
    : work_(context_.get_executor()),
      timer_(context_),
      tick_(tick),
      on_problem_(std::move(on_problem)) {
  sweep();
  thread_ = std::thread([this] { run(); });
}

IoThread::~IoThread() { join(); }

bool IoThread::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return false;
    tasks_.push_back(std::move(task));
    if (std::exchange(is_woken_, true)) return true;
  }
  if (to_wake == nullptr)
    wake();
  else
    to_wake->push_back(shared_from_this());
  return true;
}

void IoThread::wake() {
  // Under the lock: nothing is posted to a context that runs no more.
  const std::lock_guard lock(mutex_);
  if (!is_closed_) boost::asio::post(context_, [this] { run_tasks(); });
}

void IoThread::run_tasks() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
    is_woken_ = false;
  }
  for (const std::function<void()>& task : tasks) {
    try {
      task();
    } catch (const std::exception& e) {
      report(e);
    }
  }
}

void post_together(const std::function<void()>& post_all) {
  struct Scope {
    std::vector<std::shared_ptr<IoThread>> threads;
    std::vector<std::shared_ptr<IoThread>>* outer = std::exchange(to_wake, &threads);
    ~Scope() {
      to_wake = outer;
      for (const auto& thread : threads) thread->wake();
    }
  } const scope;
  post_all();
}

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
  // What came between the end of the thread and the closing.
  context_.restart();
  context_.poll();
  run_tasks();
}

void IoThread::run() {
  name_this_thread("veloz-io");
  for (;;) {
    try {
      context_.run();
      return;
    } catch (const std::exception& e) {
      report(e);
    }
  }
}

void IoThread::report(const std::exception& e) const {
  if (on_problem_) on_problem_(e.what());
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
