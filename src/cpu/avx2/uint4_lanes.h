// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/avx2/broadcast.h"
#include "cpu/avx2/lanes.h"

namespace veloz::cpu {
namespace {

/// What tiles of 4-bit weights need beyond Lanes.
struct Uint4Lanes : Lanes {
  using Codes = I;
  using Inputs = __m256i;

  static Codes load_codes(const char* w) { return load_int(w); }
  static Codes low_codes(const Codes& codes) {
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(codes.low, mask), _mm256_and_si256(codes.high, mask)};
  }
  static Codes high_codes(const Codes& codes) {
    return low_codes({_mm256_srli_epi16(codes.low, 4), _mm256_srli_epi16(codes.high, 4)});
  }
  static Inputs load_quad(const char* x) { return broadcast(x); }
};

}  // namespace
}  // namespace veloz::cpu
