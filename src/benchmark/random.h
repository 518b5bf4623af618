// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace veloz::benchmark {

/// What a stream of numbers is for: streams of one seed are independent of each other, so that more
/// of one never shifts another.
enum class RandomUse : uint32_t { arrivals, lengths, tokens, order };

/// Random numbers that depend on the seed, the use and how many were drawn before, nothing else.
class RandomStream {
 public:
  RandomStream(uint64_t seed, RandomUse use);

  /// In (0, 1).
  double uniform();
  /// Each of first, ..., last alike; first <= last.
  int64_t integer(int64_t first, int64_t last);
  /// Of the gamma distribution with this shape and scale 1; shape > 0. By Marsaglia and Tsang, "A
  /// simple method for generating gamma variables" (2000).
  double gamma(double shape);

 private:
  uint64_t word();
  double normal();

  const std::array<uint32_t, 2> key_;
  const uint32_t use_;
  uint64_t num_drawn_ = 0;
};

}  // namespace veloz::benchmark
