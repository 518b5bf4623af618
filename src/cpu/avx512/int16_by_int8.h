// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx512/broadcast.h"
#include "cpu/avx512/lanes.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Pairs of int16 and pairs of int8, ready for instructions that multiply int16.
struct Int16AndInt8 : Int32Sums {
  using Weights = __m512i;
  using Inputs = __m512i;
  static Weights load_weights(const char* w) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
  }
  static Inputs load_inputs(const char* x) { return broadcast(x); }
  static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // never called
};

}  // namespace
}  // namespace veloz::cpu
