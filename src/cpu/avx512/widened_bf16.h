// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx512/broadcast.h"
#include "cpu/avx512/lanes.h"

#include "cpu/bf16_pairs.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Pairs of bf16, widened to two fp32 and multiplied as such.
struct WidenedBf16 : Fp32Sums {
  struct Pair {
    __m512 even;
    __m512 odd;
  };
  using Weights = Pair;
  using Inputs = Pair;
  static Pair widen(I pairs) { return {even_of(pairs), odd_of(pairs)}; }
  static Weights weights_of(I pairs) { return widen(pairs); }
  static Weights load_weights(const char* w) { return weights_of(load_int(w)); }
  static Inputs load_inputs(const char* x) { return widen(broadcast(x)); }
  static Inputs load_part_inputs(const char* x, int64_t bytes) {
    return widen(broadcast_part(x, bytes));
  }
  static F multiply_add(F sums, const Inputs& inputs, const Weights& weights) {
    sums = _mm512_fmadd_ps(inputs.odd, weights.odd, sums);
    return _mm512_fmadd_ps(inputs.even, weights.even, sums);
  }
};

}  // namespace
}  // namespace veloz::cpu
