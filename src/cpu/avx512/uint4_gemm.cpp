// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/pack_uint4_rows.h"
#include "cpu/avx512/uint4_lanes.h"
#include "cpu/uint4_loop.h"

namespace veloz::cpu {
namespace {

/// Two products of at most 15 * 128 fit 16 bits without saturation, and so do the eight pairs of a
/// chunk.
struct WidenedUint4 : Uint4Lanes {
  using Chunk = __m512i;
  static Chunk begin_chunk(I) { return _mm512_setzero_si512(); }
  static Chunk multiply_add(Chunk products, Codes codes, Inputs quad) {
    return _mm512_add_epi16(products, _mm512_maddubs_epi16(codes, quad));
  }
  static I end_chunk(I sums, Chunk products) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(products, _mm512_set1_epi16(1)));
  }
};

}  // namespace

// More rows would fit 32 registers, but the compiler then keeps sums in memory.
constexpr Uint4Micro kUint4Avx512 = make_uint4_micro<WidenedUint4, 4>(transpose_uint4_rows);

}  // namespace veloz::cpu
