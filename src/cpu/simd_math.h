// SPDX-License-Identifier: Apache-2.0
#pragma once

// Functions over `Lanes`, which the including file has brought in for its instruction set. In an
// anonymous namespace, so that each file has its own copy, compiled with its own flags.
// Coefficients minimise the relative error over the range named (Lawson's iteration, in fp64).

#include <cstdint>

namespace veloz::cpu {
namespace {

template <size_t n>
Lanes::F polynomial(Lanes::F x, const float (&coefficients)[n]) {  // lowest power first
  Lanes::F sum = Lanes::set1(coefficients[n - 1]);
  for (size_t i = n - 1; i-- > 0;) sum = Lanes::mul_add(sum, x, Lanes::set1(coefficients[i]));
  return sum;
}

/// 2^x for x <= 1 (2 ulp); 0 below -126, so that no denormals arise; NaN stays NaN.
Lanes::F exp2_of_nonpositive(Lanes::F x) {
  constexpr float kOnHalf[] = {0x1p+0f,        0x1.62e43p-1f,   0x1.ebfbdap-3f, 0x1.c6aed4p-5f,
                               0x1.3b2dbcp-7f, 0x1.5f456ap-10f, 0x1.41d32ep-13f};  // [-1/2, 1/2]
  const Lanes::F lowest = Lanes::set1(-126.0f);
  const Lanes::F clamped = Lanes::max(lowest, x);
  const Lanes::F n = Lanes::round(clamped);
  const Lanes::F power = Lanes::scale_by_power(polynomial(Lanes::sub(clamped, n), kOnHalf), n);
  return Lanes::where_less(x, lowest, Lanes::zero(), power);
}

/// Sum of the 16 lanes, halves onto halves.
float reduce_add(Lanes::F a) {
  float lanes[16];
  Lanes::store(lanes, a);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}

float reduce_max(Lanes::F a) {
  float lanes[16];
  Lanes::store(lanes, a);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i)
      lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
}

}  // namespace
}  // namespace veloz::cpu
