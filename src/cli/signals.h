// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <csignal>
#include <initializer_list>
#include <optional>

namespace veloz::cli {

/// Signals that are waited for instead of interrupting: blocked in the thread that makes this, and
/// in all threads it starts afterwards. Restores the old mask on destruction.
class SignalWaiter {
 public:
  explicit SignalWaiter(std::initializer_list<int> signals);
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  /// The signal that came, or nothing where none comes in that time.
  std::optional<int> wait(std::chrono::milliseconds time) const;

 private:
  sigset_t signals_{};
  sigset_t before_{};
};

}  // namespace veloz::cli
