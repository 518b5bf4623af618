// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

namespace veloz::benchmark {

/// Finds the highest request rate that a server sustains: doubles (or halves) from the first rate
/// until one holds and one does not, then bisects between them on a logarithmic scale. Says which
/// rate to try; the caller tries it and answers.
class QpsSearch {
 public:
  struct Options {
    double first_rate = 1;    // requests/s
    double precision = 0.05;  // ends when the rate that failed is at most this share above
    double max_rate = 1e4;
  };
  explicit QpsSearch(const Options& options) : options_(options), next_(options.first_rate) {}

  /// The rate to try now; nothing when the search is over.
  std::optional<double> next_rate() const;
  /// What became of next_rate().
  enum class Outcome {
    holds,
    fails,
    fails_alone,  // although no two requests were under way at once: a lower rate cannot help
  };
  void answer(Outcome outcome);
  /// The highest rate that held; nothing where none did.
  std::optional<double> best() const { return best_; }

 private:
  Options options_;
  double next_;
  bool is_hopeless_ = false;
  std::optional<double> best_;
  std::optional<double> lowest_failed_;
};

}  // namespace veloz::benchmark
