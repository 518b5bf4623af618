// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "veloz/build.h"

namespace veloz::cli {

bool is_stdout_terminal();
bool is_stderr_terminal();

/// A line on stderr with share, rate and time left, redrawn at most ten times a second; nothing
/// where stderr is no terminal.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar();  // clears the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(const Progress& progress);

 private:
  using Clock = std::chrono::steady_clock;
  const bool is_visible_;
  std::string stage_;
  Clock::time_point stage_start_;
  Clock::time_point last_drawn_;
};

/// "1,234,567".
std::string format_count(int64_t count);
/// "850 ms", "12.3 s", "4 min 05 s".
std::string format_seconds(double seconds);

}  // namespace veloz::cli
