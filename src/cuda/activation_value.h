// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "cuda/gpu.h"
#include "cuda/ptx/matrix.h"
#include "cuda/ptx/reciprocal.h"
#include "ops/activation.h"

/// Activation functions in fp32 (ops/activation.h), few instructions each: a row becomes codes at
/// the speed of memory only if they keep up. NaN stays NaN.
namespace veloz::cuda {

/// x / (1 + 2^exponent). Where the power overflows the result is 0, also for x = -infinity, as
/// functions are 0 long before -100; NaN comes by way of the exponent.
__device__ inline float over_one_plus_power(float x, float exponent) {
  return fmaxf(-100.0f, x) * reciprocal_fast(1.0f + exp2_fast(exponent));
}

template <ops::Activation kActivation>
__device__ inline float activate(float x) {
  constexpr float kLog2E = 1.4426950408889634f;
  if constexpr (kActivation == ops::Activation::silu) {
    return over_one_plus_power(x, x * -kLog2E);
  } else if constexpr (kActivation == ops::Activation::gelu) {
    constexpr float kRootHalf = 0.70710678118654752f;
    return 0.5f * (x < -13.0f ? -13.0f : x) * (1.0f + erff(x * kRootHalf));
  } else if constexpr (kActivation == ops::Activation::gelu_tanh) {
    // x/2 (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    constexpr float kMinusTwoRoot = -1.5957691216057308f;  // -2 sqrt(2 / pi)
    constexpr float kCubic = 0.044715f;
    constexpr float kLinear = kMinusTwoRoot * kLog2E;
    return over_one_plus_power(x, x * fmaf(x * x, kLinear * kCubic, kLinear));
  } else {
    static_assert(kActivation == ops::Activation::relu);
    return x < 0 ? 0.0f : x;
  }
}

}  // namespace veloz::cuda
