// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/uint4_lanes.h"
#include "cpu/uint4_loop.h"

namespace veloz::cpu {
namespace {

/// Two products of at most 15 * 128 fit 16 bits without saturation, and so do the eight pairs of a
/// chunk.
struct WidenedUint4 : Uint4Lanes {
  using Chunk = __m512i;
  static Chunk begin_chunk(Sums) { return _mm512_setzero_si512(); }
  static Chunk multiply_add(Chunk products, Codes codes, Inputs quad) {
    return _mm512_add_epi16(products, _mm512_maddubs_epi16(codes, quad));
  }
  static Sums end_chunk(Sums sums, Chunk products) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(products, _mm512_set1_epi16(1)));
  }
};

}  // namespace

// 8 sums of each of three kinds, two registers of codes, their mask, one of scales, one input and
// the ones fill 30 of 32 registers.
constexpr Uint4Micro kUint4Avx512 = make_uint4_micro<WidenedUint4, 8>();

}  // namespace veloz::cpu
