// SPDX-License-Identifier: Apache-2.0
#pragma once

// Products of bf16 weights with rows of fp32, written once over the vector operations of an
// instruction set, whose fp32_inputs.h the including file has brought in.

#include <cstdint>

#include "cpu/bf16_pairs.h"
#include "cpu/gemm_loop.h"
#include "cpu/gemm_tile.h"
#include "cpu/widen_loop.h"

namespace veloz::cpu {
namespace {

/// Two steps of fp32 that make one of pairs, the odd elements first.
[[maybe_unused]] void store_halves(const Lanes::I& pairs, char* to) {
  Lanes::store(reinterpret_cast<float*>(to), odd_of(pairs));
  Lanes::store(reinterpret_cast<float*>(to + kStepBytes), even_of(pairs));
}

/// Pairs of bf16, widened to two fp32, by rows that are widened already, the odd element of a pair
/// first. Tiles take a step in two parts, between which no widened weights wait.
struct Bf16ByFp32 : Fp32Sums {
  static constexpr int64_t kInputBytes = 2 * sizeof(float);

  template <Lanes::F (*half_of)(const Lanes::I& pairs), int64_t kOffset>
  struct Part : Fp32Inputs {
    static Weights weights_of(const I& pairs) { return half_of(pairs); }
    static Weights load_weights(const char* w) { return weights_of(load_int(w)); }
    static Inputs load_inputs(const char* x) { return Fp32Inputs::load_inputs(x + kOffset); }
    static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // not called
  };
  using FirstPart = Part<odd_of, 0>;
  using SecondPart = Part<even_of, sizeof(float)>;

  using Weights = I;
  struct Inputs {
    Fp32Inputs::Inputs odd;
    Fp32Inputs::Inputs even;
  };
  static Weights weights_of(const I& pairs) { return pairs; }
  static Weights load_weights(const char* w) { return load_int(w); }
  static Inputs load_inputs(const char* x) {
    return {FirstPart::load_inputs(x), SecondPart::load_inputs(x)};
  }
  static F multiply_add(const F& sums, const Inputs& x, const Weights& w) {
    return SecondPart::multiply_add(FirstPart::multiply_add(sums, x.odd, FirstPart::weights_of(w)),
                                    x.even, SecondPart::weights_of(w));
  }
};

/// A step of pairs becomes two of fp32, in the order of their products.
[[maybe_unused]] void expand_bf16(const GemmExpand& expand) {
  for (int64_t i = 0; i < expand.num_steps; ++i)
    store_halves(Lanes::load_int(expand.w + i * kStepBytes), expand.to + 2 * i * kStepBytes);
}

/// 16 bf16 in order become as many fp32, of each pair the odd one first.
[[maybe_unused]] void widen_bf16_register(const char* bf16, char* to) {
  Lanes::store(reinterpret_cast<float*>(to), Lanes::swap_pairs(Lanes::load_bf16(bf16)));
}

[[maybe_unused]] void widen_bf16_row(const void* x, int64_t count, void* to) {
  constexpr int64_t kRegisterBytes = 2 * kPanelWidth;
  widen_row<kRegisterBytes>(x, 2 * count, to, widen_bf16_register);
}

}  // namespace
}  // namespace veloz::cpu
