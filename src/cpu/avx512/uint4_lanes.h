// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/avx512/broadcast.h"
#include "cpu/avx512/lanes.h"

namespace veloz::cpu {
namespace {

/// What tiles of 4-bit weights need beyond Lanes.
struct Uint4Lanes : Lanes {
  using Codes = I;
  using Inputs = I;

  static Codes load_codes(const char* w) { return load_int(w); }
  static Codes low_codes(Codes codes) { return _mm512_and_si512(codes, _mm512_set1_epi8(15)); }
  static Codes high_codes(Codes codes) { return low_codes(_mm512_srli_epi16(codes, 4)); }
  static Inputs load_quad(const char* x) { return broadcast(x); }
};

}  // namespace
}  // namespace veloz::cpu
