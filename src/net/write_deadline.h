// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>

namespace veloz::net {

/// Until when a client must take what it is being sent: `kMinBytes` of it, or the rest, within each
/// timeout. Any progress at all would not do: by a byte now and then an answer of megabytes could
/// be held in memory for days.
class WriteDeadline {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kMinBytes = size_t{256} * 1024;

  explicit WriteDeadline(std::chrono::milliseconds timeout) : timeout_(timeout) {}

  /// Something is being sent from now on.
  void begin(Clock::time_point now) { renew(now); }
  void on_sent(size_t num_bytes, Clock::time_point now) {
    num_bytes_ += num_bytes;
    if (num_bytes_ >= kMinBytes) renew(now);
  }
  /// All has been taken.
  void end() { deadline_ = Clock::time_point::max(); }
  bool is_over(Clock::time_point now) const { return deadline_ <= now; }

 private:
  void renew(Clock::time_point now) {
    deadline_ = now + timeout_;
    num_bytes_ = 0;
  }

  std::chrono::milliseconds timeout_;
  Clock::time_point deadline_ = Clock::time_point::max();  // none
  size_t num_bytes_ = 0;                                   // since the deadline was set
};

}  // namespace veloz::net
