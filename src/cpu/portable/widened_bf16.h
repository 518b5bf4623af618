// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/portable/lanes.h"

#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Pairs of bf16, widened to two fp32 and multiplied as such.
struct WidenedBf16 : Fp32Sums {
  using Weights = I;
  struct Inputs {
    float even;
    float odd;
  };
  static Weights weights_of(const I& pairs) { return pairs; }
  static Weights load_weights(const char* w) { return load_int(w); }
  static Inputs load_inputs(const char* x) {
    uint16_t pair[2];
    std::memcpy(pair, x, sizeof(pair));
    return widen(pair[0], pair[1]);
  }
  static Inputs load_part_inputs(const char* x, int64_t bytes) {
    uint16_t pair[2] = {};
    std::memcpy(pair, x, static_cast<size_t>(bytes));
    return widen(pair[0], pair[1]);
  }
  static Inputs widen(uint32_t first, uint32_t second) {
    return {std::bit_cast<float>(first << 16), std::bit_cast<float>(second << 16)};
  }
  static F multiply_add(const F& sums, const Inputs& x, const Weights& w) {
    F result;
    for (int64_t i = 0; i < kPanelWidth; ++i) {
      const auto pair = static_cast<uint32_t>(w.lane[i]);
      const float odd = std::bit_cast<float>(pair & 0xffff0000u);
      const float even = std::bit_cast<float>(pair << 16);
      result.lane[i] = (sums.lane[i] + x.odd * odd) + x.even * even;
    }
    return result;
  }
};

}  // namespace
}  // namespace veloz::cpu
