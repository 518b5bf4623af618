// SPDX-License-Identifier: Apache-2.0
#include "benchmark/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace veloz::benchmark {

double percentile(std::span<const double> sorted, double rank) {
  if (sorted.empty()) return 0;
  const double position = rank / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], position - static_cast<double>(below));
}

Summary summarize(std::vector<double> values, std::span<const double> ranks) {
  std::ranges::sort(values);
  Summary summary;
  if (!values.empty()) {
    const auto count = static_cast<double>(values.size());
    summary.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
    summary.median = percentile(values, 50);
    double squares = 0;
    for (const double value : values) squares += (value - summary.mean) * (value - summary.mean);
    summary.std = std::sqrt(squares / count);
  }
  for (const double rank : ranks) summary.percentiles.push_back({rank, percentile(values, rank)});
  return summary;
}

std::string format_rank(double rank) { return fmt::format("{}", rank); }

std::vector<double> parse_ranks(const std::string& text, const std::string& flag) {
  std::vector<double> ranks;
  for (const char *begin = text.data(), *const end = begin + text.size(); begin <= end;) {
    const char* const comma = std::find(begin, end, ',');
    double rank = -1;
    const auto [rest, error] = std::from_chars(begin, comma, rank);
    if (error != std::errc{} || rest != comma || !(rank >= 0 && rank <= 100))
      throw Error(ErrorKind::invalid_input,
                  fmt::format("{} \"{}\" is no list of percentiles", flag, text),
                  "give numbers from 0 to 100 with commas between, as in 50,90,99.9");
    ranks.push_back(rank);
    begin = comma + 1;
  }
  return ranks;
}

}  // namespace veloz::benchmark
