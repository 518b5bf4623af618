// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/opaque.h"
#include "cpu/avx2/uint4_lanes.h"
#include "cpu/uint4_loop.h"

namespace veloz::cpu {
namespace {

/// Two products of at most 15 * 128 fit 16 bits without saturation, and so do the eight pairs of a
/// chunk.
struct WidenedUint4 : Uint4Lanes {
  using Chunk = I;

  static Chunk begin_chunk(const I&) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static Chunk multiply_add(const Chunk& products, const Codes& codes, Inputs quad) {
    return {opaque(_mm256_add_epi16(products.low, _mm256_maddubs_epi16(codes.low, quad))),
            opaque(_mm256_add_epi16(products.high, _mm256_maddubs_epi16(codes.high, quad)))};
  }
  static I end_chunk(const I& sums, const Chunk& products) {
    const __m256i ones = _mm256_set1_epi16(1);
    return {_mm256_add_epi32(sums.low, _mm256_madd_epi16(products.low, ones)),
            _mm256_add_epi32(sums.high, _mm256_madd_epi16(products.high, ones))};
  }
};

}  // namespace

// 4 rows x 2 registers of products, two of codes, two of what they come from, their mask and one
// input fill 14 of 16 registers; the sums of a group wait in memory.
constexpr Uint4Micro kUint4Avx2 = make_uint4_micro<WidenedUint4, 4>();

}  // namespace veloz::cpu
