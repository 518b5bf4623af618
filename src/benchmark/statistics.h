// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

namespace veloz::benchmark {

inline constexpr double kMsPerSecond = 1e3;

/// One percentile of a sample, such as 99 or 99.9.
struct Percentile {
  double rank = 0;  // [0, 100]
  double value = 0;
};

struct Summary {
  double mean = 0;
  double median = 0;
  double std = 0;  // of the population
  std::vector<Percentile> percentiles;
};

/// Between the two nearest values, as numpy's default interpolates; 0 of an empty sample. `sorted`
/// rises, rank is in [0, 100].
double percentile(std::span<const double> sorted, double rank);

/// All zero for an empty sample.
Summary summarize(std::vector<double> values, std::span<const double> ranks);

/// "99" or "99.9".
std::string format_rank(double rank);

/// "25,50,99" as ranks. Throws Error(invalid_input) naming `flag`.
std::vector<double> parse_ranks(const std::string& text, const std::string& flag);

}  // namespace veloz::benchmark
