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

/// The 16 lanes as one, halves onto halves. In registers: an array of the lanes would have GCC 12
/// keep them in memory already in the loop that makes them.
template <typename Combine>
Lanes::F reduce(Lanes::F a, const Combine& combine) {
  a = combine(a, Lanes::move_down<8>(a));
  a = combine(a, Lanes::move_down<4>(a));
  a = combine(a, Lanes::move_down<2>(a));
  return combine(a, Lanes::move_down<1>(a));
}

float reduce_add(Lanes::F a) {
  return Lanes::first_lane(
      reduce(a, [](const Lanes::F& x, const Lanes::F& y) { return Lanes::add(x, y); }));
}

}  // namespace
}  // namespace veloz::cpu
