// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/portable/lanes.h"

#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

struct PlainInt8 : Int32Sums {
  static constexpr int kCodes = 4;  // of a channel in a step
  struct Weights {
    uint8_t code[kPanelWidth][kCodes];
  };
  struct Inputs {
    int8_t code[kCodes];
  };
  static Weights load_weights(const char* w) {
    Weights weights;
    std::memcpy(&weights, w, sizeof(weights));
    return weights;
  }
  static Inputs load_inputs(const char* x) { return load_part_inputs(x, kCodes); }
  static Inputs load_part_inputs(const char* x, int64_t bytes) {
    Inputs inputs{};
    std::memcpy(&inputs, x, static_cast<size_t>(bytes));
    return inputs;
  }
  static I multiply_add(const I& sums, const Inputs& x, const Weights& w) {
    I result = sums;
    for (int64_t i = 0; i < kPanelWidth; ++i)
      for (int j = 0; j < kCodes; ++j) result.lane[i] += x.code[j] * w.code[i][j];
    return result;
  }
};

}  // namespace

// 2 x 1 panel of four 128-bit registers and the weights fill 12 of 16.
constexpr GemmMicro kGemmPortableInt8 = make_gemm_micro<PlainInt8, 2, 1>();

}  // namespace veloz::cpu
