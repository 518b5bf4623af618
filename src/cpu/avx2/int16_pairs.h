// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx2/broadcast.h"
#include "cpu/avx2/lanes.h"
#include "cpu/avx2/opaque.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// A step of int16: one pair of each channel.
struct Int16Pairs : Int32Sums {
  using Weights = I;
  using Inputs = __m256i;
  static Weights load_weights(const char* w) { return load_int(w); }
  static Inputs load_inputs(const char* x) { return broadcast(x); }
  static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // never called
  static I multiply_add(const I& sums, Inputs x, const Weights& w) {
    return {opaque(_mm256_add_epi32(sums.low, _mm256_madd_epi16(x, w.low))),
            opaque(_mm256_add_epi32(sums.high, _mm256_madd_epi16(x, w.high)))};
  }
};

}  // namespace
}  // namespace veloz::cpu
