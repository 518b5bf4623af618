// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace veloz::cli {

/// From construction on, the first Ctrl-C (or SIGTERM) only sets a flag, so that generation ends
/// cleanly with what it has; a second one kills the process. Restores the old behaviour on
/// destruction. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static bool is_interrupted();
};

/// Says on stderr that what stands on stdout is not all, and returns the exit code of a failed job;
/// 0 where nobody interrupted.
int report_interrupt();

}  // namespace veloz::cli
