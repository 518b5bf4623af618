// SPDX-License-Identifier: Apache-2.0
#include "http/stats_line.h"

#include <fmt/format.h>

namespace veloz::http {
namespace {

double percent(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::optional<std::string> StatsLine::next(const StepHistory::Totals& totals,
                                           const serving::ExecutorStats& stats, TimePoint now) {
  const double seconds = std::chrono::duration<double>(now - last_).count();
  const auto rate = [seconds](int64_t now_n, int64_t last_n) {
    return seconds <= 0 ? 0 : static_cast<double>(now_n - last_n) / seconds;
  };
  const double prompt = rate(totals.num_prefill_tokens, last_totals_.num_prefill_tokens);
  const double generation = rate(totals.num_decode_tokens, last_totals_.num_decode_tokens);
  const bool is_idle = totals.num_steps == last_totals_.num_steps && stats.num_running == 0 &&
                       stats.num_waiting == 0;
  last_ = now;
  last_totals_ = totals;
  if (is_idle) return std::nullopt;
  return fmt::format(
      "Avg prompt throughput: {:.1f} tokens/s, Avg generation throughput: {:.1f} tokens/s, "
      "Running: {} reqs, Waiting: {} reqs, KV cache usage: {:.1f}%, Prefix cache hit rate: {:.1f}%",
      prompt, generation, stats.num_running, stats.num_waiting,
      percent(stats.num_blocks - stats.num_free_blocks, stats.num_blocks),
      percent(stats.num_prefix_hits, stats.num_prefix_queries));
}

}  // namespace veloz::http
