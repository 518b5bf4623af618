// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "cuda/gpu.h"
#include "ops/activation.h"

/// Activation functions in fp32 (ops/activation.h). NaN stays NaN.
namespace veloz::cuda {

/// At least `lowest`, below which a function is 0 whatever factor x is.
__host__ __device__ inline float at_least(float lowest, float x) { return x < lowest ? lowest : x; }

template <ops::Activation kActivation>
__host__ __device__ inline float activate(float x) {
  if constexpr (kActivation == ops::Activation::silu) {
    return at_least(-100.0f, x) * (1.0f / (1.0f + expf(-x)));
  } else if constexpr (kActivation == ops::Activation::gelu) {
    constexpr float kRootHalf = 0.70710678118654752f;
    return 0.5f * at_least(-13.0f, x) * (1.0f + erff(x * kRootHalf));
  } else if constexpr (kActivation == ops::Activation::gelu_tanh) {
    // x/2 (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    constexpr float kMinusTwoRoot = -1.5957691216057308f;
    constexpr float kCubic = 0.044715f;
    const float inner = x * fmaf(x * x, kCubic, 1.0f);
    return at_least(-100.0f, x) * (1.0f / (1.0f + expf(inner * kMinusTwoRoot)));
  } else {
    static_assert(kActivation == ops::Activation::relu);
    return x < 0 ? 0.0f : x;
  }
}

}  // namespace veloz::cuda
