// SPDX-License-Identifier: Apache-2.0
#pragma once

// Functions over `Lanes`, which the including file has brought in for its instruction set. In an
// anonymous namespace, so that each file has its own copy, compiled with its own flags.
// Coefficients minimise the relative error over the range named (Lawson's iteration, in fp64).

#include <cstddef>

namespace veloz::cpu {
namespace {

template <size_t n>
Lanes::F polynomial(Lanes::F x, const float (&coefficients)[n]) {  // lowest power first
  Lanes::F sum = Lanes::set1(coefficients[n - 1]);
  for (size_t i = n - 1; i-- > 0;) sum = Lanes::mul_add(sum, x, Lanes::set1(coefficients[i]));
  return sum;
}

/// Sum of the 16 lanes, halves onto halves. A function of its own: where GCC 12 puts it into the
/// loop that made the lanes, it keeps them in memory there.
[[gnu::noinline]] float reduce_add(Lanes::F a) {
  float lanes[16];
  Lanes::store(lanes, a);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}

}  // namespace
}  // namespace veloz::cpu
