// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace veloz::net {

/// What lives on an I/O thread and is called there only.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual void check_deadlines(std::chrono::steady_clock::time_point now) = 0;
  /// Closes where nothing is being asked or answered.
  virtual void close_if_idle() = 0;
  /// Aborts what is going on and closes.
  virtual void abort() = 0;
};

/// One thread that runs handlers of sockets and tasks of others. Deadlines are looked at by one
/// sweep over all connections every `tick`: a timer per operation would cost more than the
/// operation.
class IoThread {
 public:
  IoThread(std::chrono::milliseconds tick, std::function<void(std::string_view)> on_problem);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  boost::asio::io_context& context() { return context_; }
  bool is_current() const { return std::this_thread::get_id() == thread_.get_id(); }
  /// From any thread; in order. Dropped once the thread is stopping, then false.
  template <typename Task>
  bool post(Task&& task) {
    // Under the lock: a task posted to a context that runs no more would be kept with all it holds.
    const std::lock_guard lock(mutex_);
    if (is_closed_) return false;
    boost::asio::post(context_, std::forward<Task>(task));
    return true;
  }
  /// These three on this thread only.
  void add(Connection& connection) { connections_.insert(&connection); }
  void remove(Connection& connection) { connections_.erase(&connection); }
  /// `visit` may remove any of them.
  template <typename Visit>
  void for_each_connection(Visit visit) {
    const std::vector<Connection*> all(connections_.begin(), connections_.end());
    for (Connection* connection : all)
      if (connections_.contains(connection)) visit(*connection);
  }
  /// Ends the thread when nothing is pending any more; whoever calls it has closed all sockets.
  void join();

 private:
  void run();
  void sweep();

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  std::chrono::milliseconds tick_;
  std::function<void(std::string_view)> on_problem_;
  std::unordered_set<Connection*> connections_;
  bool is_ending_ = false;  // on this thread only
  std::mutex mutex_;        // guards is_closed_
  bool is_closed_ = false;
  std::thread thread_;
};

}  // namespace veloz::net
