// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include "cpu/avx512/lanes.h"
#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

/// The bytes of bf16 put together by arithmetic and, for subnormal codes, from tables.
struct NibbleDecoder {
  static Fp8Step decode(__m512i codes) {
    // Of a code s eeee mmm the bf16 has the exponent eeee + 120, 01111 000 in bits: its upper byte
    // is s 0111100 + eee, its lower one e mmm 0000.
    const __m512i nibble = _mm512_and_si512(codes, bytes(0x0f));
    const __m512i upper_nibble = _mm512_and_si512(_mm512_srli_epi16(codes, 4), bytes(0x0f));
    __m512i lower = _mm512_slli_epi16(nibble, 4);
    __m512i upper = _mm512_shuffle_epi8(
        all_quarters(_mm_setr_epi8(0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41, 0x42, 0x43,  //
                                   -0x44, -0x43, -0x42, -0x41, -0x40, -0x3f, -0x3e, -0x3d)),
        upper_nibble);
    // Exponent 0: m times 2^-9.
    const __mmask64 is_subnormal = _mm512_testn_epi8_mask(codes, bytes(0x78));
    lower = _mm512_mask_shuffle_epi8(lower, is_subnormal,
                                     all_quarters(_mm_setr_epi8(0, 0, -0x80, -0x40, 0, 0x20, 0x40,
                                                                0x60, 0, 0, 0, 0, 0, 0, 0, 0)),
                                     nibble);
    upper = _mm512_mask_shuffle_epi8(
        upper, is_subnormal,
        all_quarters(_mm_setr_epi8(0, 0x3b, 0x3b, 0x3b, 0x3c, 0x3c, 0x3c, 0x3c,  //
                                   0, 0, 0, 0, 0, 0, 0, 0)),
        nibble);
    upper = _mm512_or_si512(upper, _mm512_and_si512(codes, bytes(0x80)));
    const __mmask64 is_nan =
        _mm512_cmpeq_epi8_mask(_mm512_and_si512(codes, bytes(0x7f)), bytes(0x7f));
    upper = _mm512_mask_blend_epi8(is_nan, upper, bytes(0x7f));
    return {_mm512_unpacklo_epi8(lower, upper), _mm512_unpackhi_epi8(lower, upper)};
  }

 private:
  static __m512i bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
  static __m512i all_quarters(__m128i table) { return _mm512_broadcast_i32x4(table); }
};

}  // namespace
}  // namespace veloz::cpu
