// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/gemm_loop.h"
#include "cpu/portable/lanes.h"

namespace veloz::cpu {
namespace {

/// One fp32 of x a step.
struct Fp32Inputs : Lanes {
  using Weights = F;
  using Inputs = float;
  static Inputs load_inputs(const char* x) {
    float value;
    std::memcpy(&value, x, sizeof(value));
    return value;
  }
  static Inputs load_half_inputs(const char* x) { return load_inputs(x); }  // fp32 has no halves
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

struct WidenedBf16 : Lanes {
  struct Weights {
    uint32_t pair[kPanelWidth];
  };
  struct Inputs {
    float even;
    float odd;
  };
  static Weights load_weights(const char* w) {
    Weights weights;
    std::memcpy(&weights, w, sizeof(weights));
    return weights;
  }
  static Inputs load_inputs(const char* x) {
    uint16_t pair[2];
    std::memcpy(pair, x, sizeof(pair));
    return widen(pair[0], pair[1]);
  }
  static Inputs load_half_inputs(const char* x) {
    uint16_t first;
    std::memcpy(&first, x, sizeof(first));
    return widen(first, 0);
  }
  static Inputs widen(uint32_t first, uint32_t second) {
    return {std::bit_cast<float>(first << 16), std::bit_cast<float>(second << 16)};
  }
  static F multiply_add(const F& sums, const Inputs& x, const Weights& w) {
    F result;
    for (int64_t i = 0; i < kPanelWidth; ++i) {
      const float odd = std::bit_cast<float>(w.pair[i] & 0xffff0000u);
      const float even = std::bit_cast<float>(w.pair[i] << 16);
      result.lane[i] = (sums.lane[i] + x.odd * odd) + x.even * even;
    }
    return result;
  }
};

/// Pairs of int16 by pairs of int8.
struct Int16ByInt8 {
  struct F {
    int32_t lane[kPanelWidth];
  };
  struct Weights {
    int8_t pair[2 * kPanelWidth];
  };
  struct Inputs {
    int16_t pair[2];
  };
  static F zero() { return {}; }
  static F load(const float* from) {
    F sums;
    std::memcpy(&sums, from, sizeof(sums));
    return sums;
  }
  static void store(float* to, const F& sums) { std::memcpy(to, &sums, sizeof(sums)); }
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
  static Inputs load_half_inputs(const char* x) {
    Inputs inputs{};
    std::memcpy(&inputs, x, sizeof(inputs) / 2);
    return inputs;
  }
  static F multiply_add(const F& sums, const Inputs& x, const Weights& w) {
    F result;
    for (int64_t i = 0; i < kPanelWidth; ++i)
      result.lane[i] = sums.lane[i] + x.pair[0] * w.pair[2 * i] + x.pair[1] * w.pair[2 * i + 1];
    return result;
  }
};

}  // namespace

// 2 x 1 panel of four 128-bit registers and the weights fill 12 of 16.
constexpr GemmMicro kGemmPortableFp32 = make_gemm_micro<Fp32, 2, 1>();
constexpr GemmMicro kGemmPortableInt16ByInt8 = make_sums_micro<Int16ByInt8, 2, 1>();
constexpr GemmMicro kGemmPortableFp32ByBf16 = make_gemm_micro<Fp32ByBf16, 2, 1>();
constexpr GemmMicro kGemmPortableBf16 = make_gemm_micro<WidenedBf16, 2, 1>();

}  // namespace veloz::cpu
