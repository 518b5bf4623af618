// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstring>

#include "cpu/portable/lanes.h"
#include "cpu/portable/widened_bf16.h"

#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// One fp32 of x a step.
struct Fp32Inputs : Fp32Sums {
  using Weights = F;
  using Inputs = float;
  static Inputs load_inputs(const char* x) {
    float value;
    std::memcpy(&value, x, sizeof(value));
    return value;
  }
  static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // never called
  static F multiply_add(const F& sums, Inputs x, const Weights& w) {
    return mul_add(set1(x), w, sums);
  }
};

struct Fp32 : Fp32Inputs {
  static Weights load_weights(const char* w) {
    Weights weights;
    std::memcpy(&weights, w, sizeof(weights));
    return weights;
  }
};

/// Attention's weights with V in bf16.
struct Fp32ByBf16 : Fp32Inputs {
  static Weights load_weights(const char* w) { return load_bf16(w); }
};

/// Pairs of int16 by pairs of int8.
struct Int16ByInt8 : Int32Sums {
  struct Weights {
    int8_t pair[2 * kPanelWidth];
  };
  struct Inputs {
    int16_t pair[2];
  };
  static Weights load_weights(const char* w) {
    Weights weights;
    std::memcpy(&weights, w, sizeof(weights));
    return weights;
  }
  static Inputs load_inputs(const char* x) {
    Inputs inputs;
    std::memcpy(&inputs, x, sizeof(inputs));
    return inputs;
  }
  static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // never called
  static I multiply_add(const I& sums, const Inputs& x, const Weights& w) {
    I result;
    for (int64_t i = 0; i < kPanelWidth; ++i)
      result.lane[i] = sums.lane[i] + x.pair[0] * w.pair[2 * i] + x.pair[1] * w.pair[2 * i + 1];
    return result;
  }
};

}  // namespace

// 2 x 1 panel of four 128-bit registers and the weights fill 12 of 16.
constexpr GemmMicro kGemmPortableFp32 = make_gemm_micro<Fp32, 2, 1>();
constexpr GemmMicro kGemmPortableFp32ByBf16 = make_gemm_micro<Fp32ByBf16, 2, 1>();
constexpr GemmMicro kGemmPortableInt16ByInt8 = make_gemm_micro<Int16ByInt8, 2, 1>();
constexpr GemmMicro kGemmPortableBf16 = make_gemm_micro<WidenedBf16, 2, 1>();

}  // namespace veloz::cpu
