// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "cpu/avx512/lanes.h"
#include "cpu/avx512_bf16/dot_bf16.h"
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

// 4 x 4 accumulators, 4 x 2 weights, 2 inputs, 4 tables and a mask fill 31 of 32 registers.
constexpr GemmMicro kWhole = make_gemm_micro<Fp8As<TableDecoder, DotBf16>, 4, 4>();
constexpr GemmMicro kGrouped = make_grouped_gemm_micro<Fp8As<TableDecoder, DotBf16>, 4, 4>();
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<DotBf16, 6, 4>();

}  // namespace

constexpr Fp8Micro kFp8Avx512DotBf16 = {
    .whole = &kWhole,
    .whole_expansion = {expand_fp8<TableDecoder>, &kGemmAvx512DotBf16},
    .grouped = &kGrouped,
    .grouped_expansion = {expand_fp8<TableDecoder>, &kGroupedBf16},
    .widen = widen_fp8<TableDecoder>};

}  // namespace veloz::cpu
