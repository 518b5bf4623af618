// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/files.h"

namespace veloz::cli {
namespace {

constexpr int kBarCells = 28;
constexpr std::chrono::milliseconds kRedraw{100};

std::string format_amount(double amount, std::string_view unit) {
  if (unit == "bytes") return format_bytes(static_cast<uint64_t>(amount));
  return fmt::format("{:.0f} {}", amount, unit);
}

}  // namespace

bool is_stdout_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool is_stderr_terminal() { return ::isatty(STDERR_FILENO) == 1; }

ProgressBar::ProgressBar() : is_visible_(is_stderr_terminal()) {}

ProgressBar::~ProgressBar() {
  if (is_visible_ && !stage_.empty()) fmt::print(stderr, "\r\033[K");
}

void ProgressBar::update(const Progress& progress) {
  if (!is_visible_) return;
  const Clock::time_point now = Clock::now();
  if (progress.stage != stage_) {
    stage_ = progress.stage;
    stage_start_ = now;
  } else if (now - last_drawn_ < kRedraw && progress.done < progress.total) {
    return;
  }
  last_drawn_ = now;
  const double share = progress.total == 0 ? 1.0
                                           : static_cast<double>(progress.done) /
                                                 static_cast<double>(progress.total);
  const double elapsed = std::chrono::duration<double>(now - stage_start_).count();
  const int filled = std::clamp(static_cast<int>(share * kBarCells), 0, kBarCells);
  std::string line =
      fmt::format("\r{} [{}{}] {:3.0f} %", stage_, std::string(static_cast<size_t>(filled), '='),
                  std::string(static_cast<size_t>(kBarCells - filled), ' '), share * 100);
  if (elapsed > 0.2 && progress.done > 0) {
    const double rate = static_cast<double>(progress.done) / elapsed;
    line += fmt::format("  {}/s", format_amount(rate, progress.unit));
    line += fmt::format("  {} left",
                        format_seconds(static_cast<double>(progress.total - progress.done) / rate));
  }
  fmt::print(stderr, "{}\033[K", line);
  std::fflush(stderr);
}

std::string format_count(int64_t count) {
  const std::string digits = fmt::format("{}", count < 0 ? -count : count);
  std::string text = count < 0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string format_seconds(double seconds) {
  if (seconds < 1.0) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 90.0) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(seconds);
  return fmt::format("{} min {:02} s", whole / 60, whole % 60);
}

}  // namespace veloz::cli
