// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/broadcast.h"
#include "cpu/avx512/lanes.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Codes widened to 16 bits, where a product of pairs cannot saturate: even and odd ones apart, so
/// that neither needs to be moved.
struct WidenedInt8 : Int32Sums {
  struct Pairs {
    __m512i even;
    __m512i odd;
  };
  using Weights = Pairs;
  using Inputs = Pairs;
  static Weights load_weights(const char* w) {  // unsigned
    const __m512i codes = _mm512_loadu_si512(w);
    return {_mm512_and_si512(codes, _mm512_set1_epi16(0xff)), _mm512_srli_epi16(codes, 8)};
  }
  static Inputs load_inputs(const char* x) { return widen(broadcast(x)); }
  static Inputs load_part_inputs(const char* x, int64_t bytes) {
    return widen(broadcast_part(x, bytes));
  }
  static Inputs widen(__m512i codes) {  // signed
    return {_mm512_srai_epi16(_mm512_slli_epi16(codes, 8), 8), _mm512_srai_epi16(codes, 8)};
  }
  static I multiply_add(I sums, const Inputs& x, const Weights& w) {
    sums = _mm512_add_epi32(sums, _mm512_madd_epi16(x.even, w.even));
    return _mm512_add_epi32(sums, _mm512_madd_epi16(x.odd, w.odd));
  }
};

}  // namespace

// 6 x 3 accumulators, 3 pairs of weights and 1 of inputs, a mask and a product fill 28.
constexpr GemmMicro kGemmAvx512Int8 = make_gemm_micro<WidenedInt8, 6, 3>();

}  // namespace veloz::cpu
