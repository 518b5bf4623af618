// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx512/broadcast.h"
#include "cpu/avx512/lanes.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Pairs of bf16, multiplied by vdpbf16ps.
struct DotBf16 : Fp32Sums {
  using Weights = __m512bh;
  using Inputs = __m512bh;
  static __m512bh as_bf16(__m512i pairs) { return reinterpret_cast<__m512bh>(pairs); }
  static Weights weights_of(I pairs) { return as_bf16(pairs); }
  static Weights load_weights(const char* w) { return weights_of(load_int(w)); }
  static Inputs load_inputs(const char* x) { return as_bf16(broadcast(x)); }
  static Inputs load_part_inputs(const char* x, int64_t bytes) {
    return as_bf16(broadcast_part(x, bytes));
  }
  static F multiply_add(F sums, Inputs inputs, Weights weights) {
    return _mm512_dpbf16_ps(sums, inputs, weights);
  }
};

}  // namespace
}  // namespace veloz::cpu
