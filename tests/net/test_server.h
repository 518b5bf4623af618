// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "net/server.h"

namespace veloz::net {

/// Options for a test: any free port, short time limits where asked for.
inline ServerOptions test_options(Handler handler) {
  ServerOptions options;
  options.port = 0;
  options.handler = std::move(handler);
  return options;
}

/// Answers with "METHOD path?query|body".
inline void echo(const std::shared_ptr<Exchange>& exchange) {
  const Request& request = exchange->request();
  exchange->respond(
      {.content_type = "text/plain",
       .body = request.method + " " + request.path + "?" + request.query + "|" + request.body});
}

/// Values handed from a handler's thread to the test's.
template <typename T>
class Mailbox {
 public:
  void put(T value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    arrived_.notify_all();
  }
  /// Waits at most ten seconds.
  std::optional<T> take() {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, std::chrono::seconds(10), [&] { return !values_.empty(); }))
      return std::nullopt;
    T value = std::move(values_.front());
    values_.erase(values_.begin());
    return value;
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<T> values_;
};

}  // namespace veloz::net
