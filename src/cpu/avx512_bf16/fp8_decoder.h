// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/avx512/lanes.h"
#include "cpu/fp8_bits.h"
#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

/// One byte of the bf16 of each code without its sign.
struct ByteTable {
  alignas(64) uint8_t bytes[128];
};
constexpr ByteTable make_table(int shift) {
  ByteTable table{};
  for (uint32_t code = 0; code < 128; ++code)
    table.bytes[code] = static_cast<uint8_t>(fp8_to_bf16_bits(code) >> shift);
  return table;
}
constexpr ByteTable kLowerBytes = make_table(0);
constexpr ByteTable kUpperBytes = make_table(8);

/// Each byte of bf16 from a table of 128.
struct TableDecoder {
  static Fp8Step decode(__m512i codes) {
    const __m512i lower = look_up(kLowerBytes, codes);
    constexpr int kFirstOrBothOthers = 0xf8;
    const __m512i upper =
        _mm512_ternarylogic_epi32(look_up(kUpperBytes, codes), codes,
                                  _mm512_set1_epi8(static_cast<char>(0x80)), kFirstOrBothOthers);
    return {_mm512_unpacklo_epi8(lower, upper), _mm512_unpackhi_epi8(lower, upper)};
  }

 private:
  static __m512i look_up(const ByteTable& table, __m512i codes) {  // bit 7 is ignored
    return _mm512_permutex2var_epi8(_mm512_load_si512(table.bytes), codes,
                                    _mm512_load_si512(table.bytes + 64));
  }
};

}  // namespace
}  // namespace veloz::cpu
