// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx512/lanes.h"

#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// One fp32 of x a step.
struct Fp32Inputs : Fp32Sums {
  using Weights = F;
  using Inputs = __m512;
  static Inputs load_inputs(const char* x) {
    float value;
    __builtin_memcpy(&value, x, sizeof(value));
    return _mm512_set1_ps(value);
  }
  static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // not called
  static F multiply_add(F sums, Inputs inputs, Weights weights) {
    return _mm512_fmadd_ps(inputs, weights, sums);
  }
};

struct Fp32 : Fp32Inputs {
  static Weights load_weights(const char* w) { return _mm512_loadu_ps(w); }
};

}  // namespace
}  // namespace veloz::cpu
