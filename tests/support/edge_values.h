// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "base/dtype.h"

/// Values at which kernels go wrong first, for tests on any device.
namespace veloz::test {

/// Where activations saturate, overflow, or leave what their approximations are good for.
inline std::vector<float> activation_edges() {
  const float inf = std::numeric_limits<float>::infinity();
  return {0.0f,  -0.0f,  inf,   -inf,   3e38f,  -3e38f, 1e20f,  -1e20f, 88.0f, -88.f,
          90.0f, -90.0f, 13.0f, -13.0f, -9.5f,  1e-30f, 1e-6f,  -1e-6f, -1.0f, 5.5f,
          -5.5f, -100.f, 20.0f, -20.f,  -1e30f, 0.25f,  -0.75f, 100.f};
}

/// Every value where a code of int8 or fp8_e4m3 ends and the next begins, and its neighbours; the
/// first ones make a row's scale 1.
inline std::vector<float> code_edges(DType format) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> values = {448, 127};
  for (int i = 0; i < 256; ++i) {
    for (const float value : {static_cast<float>(i) * 0.5f, static_cast<float>(i) * 0x1p-10f,
                              std::ldexp(1.0f + static_cast<float>(i % 16) / 16.0f, i / 16 - 8)}) {
      values.push_back(value);
      values.push_back(std::nextafter(value, inf));
      values.push_back(-std::nextafter(value, -inf));
    }
  }
  const float limit = format == DType::int8 ? 127 : 448;
  std::erase_if(values, [&](float value) { return std::abs(value) > limit; });
  return values;
}

}  // namespace veloz::test
