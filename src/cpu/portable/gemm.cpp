// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "cpu/linear_loop.h"

namespace veloz::cpu {
namespace {

/// 16 lanes, which the compiler spreads over the registers it has.
struct Lanes {
  float lane[kPanelWidth];
};

template <typename F>
Lanes make_lanes(const F& f) {
  Lanes lanes;
  for (int64_t i = 0; i < kPanelWidth; ++i) lanes.lane[i] = f(i);
  return lanes;
}

struct PortableSums {
  using Sums = Lanes;
  static Sums zero() { return {}; }
  static Sums load_sums(const float* from) {
    Sums sums;
    std::memcpy(&sums, from, sizeof(sums));
    return sums;
  }
  static void store_sums(float* to, const Sums& sums) { std::memcpy(to, &sums, sizeof(sums)); }
  static Sums add(const Sums& a, const Sums& b) {
    return make_lanes([&](int64_t i) { return a.lane[i] + b.lane[i]; });
  }
  static Sums load_bias(const float* bias, int64_t columns) {
    Sums lanes{};
    std::copy(bias, bias + columns, lanes.lane);
    return lanes;
  }
  static void store_fp32(char* y, const Sums& sums, int64_t columns) {
    std::memcpy(y, &sums, static_cast<size_t>(columns) * sizeof(float));
  }
  static void store_bf16(char* y, const Sums& sums, int64_t columns) {
    for (int64_t i = 0; i < columns; ++i) {
      const BFloat16 rounded(sums.lane[i]);
      std::memcpy(y + 2 * i, &rounded, sizeof(rounded));
    }
  }
};

/// Product and sum are rounded one after the other: not every processor fuses them.
struct Fp32 : PortableSums {
  using Weights = Lanes;
  using Inputs = float;
  static Weights load_weights(const char* w) {
    Weights weights;
    std::memcpy(&weights, w, sizeof(weights));
    return weights;
  }
  static Inputs load_inputs(const char* x) {
    float value;
    std::memcpy(&value, x, sizeof(value));
    return value;
  }
  static Inputs load_half_inputs(const char* x) { return load_inputs(x); }  // fp32 has no halves
  static Sums multiply_add(const Sums& sums, Inputs x, const Weights& w) {
    return make_lanes([&](int64_t i) { return sums.lane[i] + x * w.lane[i]; });
  }
};

struct WidenedBf16 : PortableSums {
  struct Weights {
    uint32_t pair[kPanelWidth];
  };
  struct Inputs {
    float even;
    float odd;
  };
  static float even(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
  static float odd(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }
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
  static Sums multiply_add(const Sums& sums, const Inputs& x, const Weights& w) {
    return make_lanes([&](int64_t i) {
      return (sums.lane[i] + x.odd * odd(w.pair[i])) + x.even * even(w.pair[i]);
    });
  }
};

}  // namespace

// 2 x 1 panel of four 128-bit registers and the weights fill 12 of 16.
const LinearMicro kLinearPortableFp32 = make_linear_micro<Fp32, 2, 1>();
const LinearMicro kLinearPortableBf16 = make_linear_micro<WidenedBf16, 2, 1>();

}  // namespace veloz::cpu
