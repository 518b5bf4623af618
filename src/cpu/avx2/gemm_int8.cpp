// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/broadcast.h"
#include "cpu/avx2/int16_pairs.h"
#include "cpu/avx2/lanes.h"
#include "cpu/gemm_loop.h"
#include "cpu/widen_loop.h"

namespace veloz::cpu {
namespace {

/// Codes in 16 bits, where a product of pairs cannot saturate: of each four the first and the third
/// in one register and the others in a second one, so that none needs to be moved.
struct Widened {
  __m256i even;
  __m256i odd;
};
Widened widen_unsigned(__m256i codes) {
  return {_mm256_and_si256(codes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(codes, 8)};
}
Widened widen_signed(__m256i codes) {
  return {_mm256_srai_epi16(_mm256_slli_epi16(codes, 8), 8), _mm256_srai_epi16(codes, 8)};
}

/// A step of codes, multiplied as two steps of pairs.
struct WidenedInt8 : Int32Sums {
  static constexpr int64_t kInputBytes = 2 * kStepBytesX;
  static constexpr bool kRunsAhead = true;
  struct Weights {
    I even;
    I odd;
  };
  struct Inputs {
    __m256i even;
    __m256i odd;
  };
  static Weights load_weights(const char* w) {
    const I codes = load_int(w);
    const Widened low = widen_unsigned(codes.low), high = widen_unsigned(codes.high);
    return {{low.even, high.even}, {low.odd, high.odd}};
  }
  static Inputs load_inputs(const char* x) { return {broadcast(x), broadcast(x + kStepBytesX)}; }
  static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // never called
  static I multiply_add(const I& sums, const Inputs& x, const Weights& w) {
    return Int16Pairs::multiply_add(Int16Pairs::multiply_add(sums, x.even, w.even), x.odd, w.odd);
  }
};

/// A step of codes becomes two of pairs.
void expand_codes(const GemmExpand& expand) {
  for (int64_t i = 0; i < expand.num_steps; ++i) {
    const WidenedInt8::Weights step = WidenedInt8::load_weights(expand.w + i * kStepBytes);
    Lanes::store_int(expand.to + 2 * i * kStepBytes, step.even);
    Lanes::store_int(expand.to + (2 * i + 1) * kStepBytes, step.odd);
  }
}

/// 32 codes in order become as many int16, each four as widened.
void widen_register(const char* codes, char* to) {
  const Widened widened = widen_signed(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
  // Unpacking works within 128-bit halves: bring the quarters in order.
  const __m256i low = _mm256_unpacklo_epi32(widened.even, widened.odd);
  const __m256i high = _mm256_unpackhi_epi32(widened.even, widened.odd);
  Lanes::store_int(
      to, {_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)});
}

void widen_int8_row(const void* codes, int64_t count, void* to) {
  widen_row<sizeof(__m256i)>(codes, count, to, widen_register);
}

// 4 x 1 panel of two registers, 4 widened weights, 2 inputs and a product fill 15 of 16; 6 x 1, 2
// weights, 1 input and a product 16.
constexpr GemmMicro kPairs = make_gemm_micro<Int16Pairs, 6, 1>();
constexpr GemmExpansion kExpansion = {expand_codes, &kPairs};

}  // namespace

constexpr GemmMicro kGemmAvx2Int8 =
    expanding(widening(make_gemm_micro<WidenedInt8, 4, 1>(), widen_int8_row), kExpansion);

}  // namespace veloz::cpu
