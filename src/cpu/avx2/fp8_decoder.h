// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include "cpu/avx2/lanes.h"
#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

/// The bytes of bf16 put together by arithmetic and, for subnormal codes, from tables.
struct NibbleDecoder {
  static Fp8Step decode(const Lanes::I& codes) {
    const Bytes low = bytes_of(codes.low);
    const Bytes high = bytes_of(codes.high);
    return {
        {_mm256_unpacklo_epi8(low.lower, low.upper), _mm256_unpacklo_epi8(high.lower, high.upper)},
        {_mm256_unpackhi_epi8(low.lower, low.upper), _mm256_unpackhi_epi8(high.lower, high.upper)}};
  }

 private:
  struct Bytes {
    __m256i lower;
    __m256i upper;
  };
  static __m256i bytes(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
  static __m256i both_halves(__m128i table) { return _mm256_broadcastsi128_si256(table); }

  static Bytes bytes_of(__m256i codes) {
    // Of a code s eeee mmm the bf16 has the exponent eeee + 120, 01111 000 in bits: its upper byte
    // is s 0111100 + eee, its lower one e mmm 0000.
    const __m256i nibble = _mm256_and_si256(codes, bytes(0x0f));
    const __m256i upper_nibble = _mm256_and_si256(_mm256_srli_epi16(codes, 4), bytes(0x0f));
    const __m256i lower = _mm256_slli_epi16(nibble, 4);
    const __m256i upper = _mm256_shuffle_epi8(
        both_halves(_mm_setr_epi8(0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41, 0x42, 0x43,  //
                                  -0x44, -0x43, -0x42, -0x41, -0x40, -0x3f, -0x3e, -0x3d)),
        upper_nibble);
    // Exponent 0: m times 2^-9.
    const __m256i is_subnormal =
        _mm256_cmpeq_epi8(_mm256_and_si256(codes, bytes(0x78)), _mm256_setzero_si256());
    const __m256i small_lower = _mm256_shuffle_epi8(
        both_halves(_mm_setr_epi8(0, 0, -0x80, -0x40, 0, 0x20, 0x40, 0x60, 0, 0, 0, 0, 0, 0, 0, 0)),
        nibble);
    const __m256i small_upper = _mm256_or_si256(
        _mm256_shuffle_epi8(both_halves(_mm_setr_epi8(0, 0x3b, 0x3b, 0x3b, 0x3c, 0x3c, 0x3c, 0x3c,
                                                      0, 0, 0, 0, 0, 0, 0, 0)),
                            nibble),
        _mm256_and_si256(codes, bytes(0x80)));
    const __m256i is_nan = _mm256_cmpeq_epi8(_mm256_and_si256(codes, bytes(0x7f)), bytes(0x7f));
    return {_mm256_blendv_epi8(lower, small_lower, is_subnormal),
            _mm256_or_si256(_mm256_blendv_epi8(upper, small_upper, is_subnormal),
                            _mm256_and_si256(is_nan, bytes(0x7f)))};
  }
};

}  // namespace
}  // namespace veloz::cpu
