// SPDX-License-Identifier: Apache-2.0
#pragma once

// Activation functions, and rows of them, over the `Lanes` of the including file.

#include "cpu/row_loop.h"
#include "cpu/row_tile.h"

namespace veloz::cpu {
namespace {

/// e^x (2 ulp), with x first clamped to [-87, 88]; NaN stays NaN.
Lanes::F exp_clamped(Lanes::F x) {
  constexpr float kOnHalfLn2[] = {0x1p+0f,        0x1p+0f,        0x1.fffffap-2f, 0x1.55540ap-3f,
                                  0x1.55589ap-5f, 0x1.126d0cp-7f, 0x1.6ab97ap-10f};
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kLn2High = 0x1.62e4p-1f;  // 15 bits: n times it is exact
  constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  x = Lanes::min(Lanes::set1(88.0f), Lanes::max(Lanes::set1(-87.0f), x));
  const Lanes::F n = Lanes::round(Lanes::mul(x, Lanes::set1(kLog2E)));
  Lanes::F rest = Lanes::mul_add(n, Lanes::set1(-kLn2High), x);
  rest = Lanes::mul_add(n, Lanes::set1(-kLn2Low), rest);
  return Lanes::scale_by_power(polynomial(rest, kOnHalfLn2), n);
}

/// At least `lowest`, below which a function is 0 whatever factor x is; NaN stays NaN.
Lanes::F at_least(float lowest, Lanes::F x) { return Lanes::max(Lanes::set1(lowest), x); }

/// x / (1 + e^-x)
Lanes::F silu(Lanes::F x) {
  const Lanes::F e = exp_clamped(Lanes::sub(Lanes::zero(), x));
  return Lanes::div(at_least(-100.0f, x), Lanes::add(Lanes::set1(1.0f), e));
}

/// x/2 (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
Lanes::F gelu_tanh(Lanes::F x) {
  constexpr float kMinusTwoRoot = -1.5957691216057308f;  // -2 sqrt(2 / pi)
  constexpr float kCubic = 0.044715f;
  const Lanes::F square = Lanes::mul(x, x);
  const Lanes::F inner =
      Lanes::mul(x, Lanes::mul_add(square, Lanes::set1(kCubic), Lanes::set1(1.0f)));
  const Lanes::F e = exp_clamped(Lanes::mul(inner, Lanes::set1(kMinusTwoRoot)));
  return Lanes::div(at_least(-100.0f, x), Lanes::add(Lanes::set1(1.0f), e));
}

/// NaN and -0 stay what they are.
Lanes::F relu(Lanes::F x) { return Lanes::where_less(x, Lanes::zero(), Lanes::zero(), x); }

/// x/2 (1 + erf(x / sqrt 2)), by way of erfc(z) = e^(-z^2) t p(t), t = 1 / (1 + z/2), z = |x| /
/// sqrt 2: no cancellation on either side.
Lanes::F gelu(Lanes::F x) {
  constexpr float kScaledErfc[] = {0x1.20db42p-2f,  0x1.2127p-2f,   0x1.f1e04cp-3f,  0x1.9f1aa8p-3f,
                                   -0x1.b4435ap-6f, 0x1.1cbe54p-2f, -0x1.f2e52ap-2f, 0x1.2367fp-2f,
                                   -0x1.e3e52p-5f};      // t in [1/6, 1]
  constexpr float kHalfRootHalf = 0.35355339059327373f;  // |x| to z / 2
  const Lanes::F one = Lanes::set1(1.0f);
  const Lanes::F half = Lanes::set1(0.5f);
  const Lanes::F magnitude = Lanes::min(Lanes::set1(13.0f), Lanes::abs(x));  // beyond, erfc is 0
  const Lanes::F t = Lanes::div(one, Lanes::mul_add(magnitude, Lanes::set1(kHalfRootHalf), one));
  const Lanes::F power =
      exp_clamped(Lanes::mul(Lanes::mul(magnitude, magnitude), Lanes::set1(-0.5f)));
  const Lanes::F half_erfc =
      Lanes::mul(half, Lanes::mul(power, Lanes::mul(t, polynomial(t, kScaledErfc))));
  const Lanes::F weight =
      Lanes::where_less(x, Lanes::zero(), half_erfc, Lanes::sub(one, half_erfc));
  return Lanes::mul(at_least(-13.0f, x), weight);
}

template <typename Row, Lanes::F (*f)(Lanes::F)>
void act_row(const ActRow& row) {
  for_each_vector(0, row.width, [&](int64_t i, auto span) {
    Row::store(row.y, i, f(Row::load(row.x, i, span)), span);
  });
}

template <typename Row, Lanes::F (*f)(Lanes::F)>
void gated_act_row(const ActRow& row) {
  for_each_vector(0, row.width, [&](int64_t i, auto span) {
    const Lanes::F gate = f(Row::load(row.x, i, span));
    Row::store(row.y, i, Lanes::mul(gate, Row::load(row.up, i, span)), span);
  });
}

}  // namespace
}  // namespace veloz::cpu
