// SPDX-License-Identifier: Apache-2.0
#include "benchmark/random.h"

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/philox.h"

namespace veloz::benchmark {

RandomStream::RandomStream(uint64_t seed, RandomUse use)
    : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
      use_(static_cast<uint32_t>(use)) {}

uint64_t RandomStream::word() {
  const uint64_t position = num_drawn_++;
  const auto words = philox4x32(
      {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), use_, 0}, key_);
  return (uint64_t{words[1]} << 32) | words[0];
}

double RandomStream::uniform() {
  constexpr int kMantissaBits = 52;
  return (static_cast<double>(word() >> (64 - kMantissaBits)) + 0.5) *
         std::ldexp(1.0, -kMantissaBits);
}

int64_t RandomStream::integer(int64_t first, int64_t last) {
  VELOZ_CHECK(first <= last, "no integer from {} to {}", first, last);
  const auto count = static_cast<uint64_t>(last) - static_cast<uint64_t>(first) + 1;
  if (count == 0) return static_cast<int64_t>(word());  // every 64-bit integer
  return static_cast<int64_t>(static_cast<uint64_t>(first) + word() % count);
}

double RandomStream::normal() {
  const double radius = std::sqrt(-2 * std::log(uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

double RandomStream::gamma(double shape) {
  VELOZ_CHECK(shape > 0, "a gamma distribution has no shape {}", shape);
  if (shape < 1) {
    const double boosted = gamma(shape + 1);
    return boosted * std::pow(uniform(), 1 / shape);
  }
  const double d = shape - 1.0 / 3.0;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal();
    const double v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

}  // namespace veloz::benchmark
