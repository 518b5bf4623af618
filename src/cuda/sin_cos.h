// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/gpu.h"

namespace veloz::cuda {

struct SinCos {
  float sin;
  float cos;
};

/// Of an angle in radians below 2^31 in magnitude, in fp64: fp32 could not bring the angle of a far
/// position near zero without tables in memory.
__host__ __device__ inline SinCos sin_cos(float angle) {
  constexpr double kTwoOverPi = 0.63661977236758134308;
  constexpr double kHalfPiHigh = 1.57079632679489655800;
  constexpr double kHalfPiLow = 6.12323399573676603587e-17;
  // Taylor series, in the square of a number within pi / 4: the next terms are below 2^-44.
  constexpr double kSin[] = {-1.0 / 6,     1.0 / 120,         -1.0 / 5040,
                             1.0 / 362880, -1.0 / 39916800.0, 1.0 / 6227020800.0};
  constexpr double kCos[] = {-0.5,           1.0 / 24,          -1.0 / 720,          1.0 / 40320,
                             -1.0 / 3628800, 1.0 / 479001600.0, -1.0 / 87178291200.0};
  const double quarters = rint(static_cast<double>(angle) * kTwoOverPi);
  const double rest =
      fma(-quarters, kHalfPiLow, fma(-quarters, kHalfPiHigh, static_cast<double>(angle)));
  const double square = rest * rest;
  double sin = kSin[5], cos = kCos[6];
  for (int i = 4; i >= 0; --i) sin = fma(sin, square, kSin[i]);
  for (int i = 5; i >= 0; --i) cos = fma(cos, square, kCos[i]);
  sin = fma(sin * square, rest, rest);
  cos = fma(cos, square, 1.0);
  const auto quadrant = static_cast<int>(static_cast<int64_t>(quarters) & 3);
  const double s = quadrant % 2 == 0 ? sin : cos;
  const double c = quadrant % 2 == 0 ? cos : sin;
  return {static_cast<float>(quadrant >= 2 ? -s : s),
          static_cast<float>(quadrant == 1 || quadrant == 2 ? -c : c)};
}

}  // namespace veloz::cuda
