// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <unordered_set>
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

/// One thread that runs handlers of sockets and tasks of others. It is woken once for all tasks
/// that have come until it runs. Deadlines are looked at by one sweep over all connections every
/// `tick`: a timer per operation would cost more than the operation.
class IoThread : public std::enable_shared_from_this<IoThread> {
 public:
  IoThread(std::chrono::milliseconds tick, std::function<void(std::string_view)> on_problem);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  boost::asio::io_context& context() { return context_; }
  bool is_current() const { return std::this_thread::get_id() == thread_.get_id(); }
  /// From any thread; in order. Dropped once the thread is stopping, then false.
  bool post(std::function<void()> task);
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
  friend void post_together(const std::function<void()>& post_all);

  void run();
  void wake();
  void run_tasks();
  void report(const std::exception& e) const;
  void sweep();

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  std::chrono::milliseconds tick_;
  std::function<void(std::string_view)> on_problem_;
  std::unordered_set<Connection*> connections_;
  bool is_ending_ = false;  // on this thread only
  std::mutex mutex_;
  // All guarded by mutex_.
  bool is_closed_ = false;
  bool is_woken_ = false;  // for the tasks, or soon will be
  std::vector<std::function<void()>> tasks_;

  std::thread thread_;
};

}  // namespace veloz::net
