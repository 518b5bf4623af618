// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/broadcast.h"
#include "cpu/avx2/lanes.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Codes widened to 16 bits, where a product of pairs cannot saturate: even and odd ones apart, so
/// that neither needs to be moved.
struct WidenedInt8 : Int32Sums {
  using Weights = I;  // unsigned codes
  struct Inputs {
    __m256i even;
    __m256i odd;
  };
  static Weights load_weights(const char* w) { return load_int(w); }
  static Inputs load_inputs(const char* x) { return widen(broadcast(x)); }
  static Inputs load_part_inputs(const char* x, int64_t bytes) {
    return widen(broadcast_part(x, bytes));
  }
  static Inputs widen(__m256i codes) {  // signed
    return {_mm256_srai_epi16(_mm256_slli_epi16(codes, 8), 8), _mm256_srai_epi16(codes, 8)};
  }
  static __m256i add_products(__m256i sums, const Inputs& x, __m256i codes) {
    const __m256i even = _mm256_and_si256(codes, _mm256_set1_epi16(0xff));
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(x.even, even));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(x.odd, _mm256_srli_epi16(codes, 8)));
  }
  static I multiply_add(const I& sums, const Inputs& x, const Weights& w) {
    return {add_products(sums.low, x, w.low), add_products(sums.high, x, w.high)};
  }
};

}  // namespace

// 4 x 1 panel of two registers, 4 widened weights, 2 inputs and a product fill 15 of 16.
constexpr GemmMicro kGemmAvx2Int8 = make_gemm_micro<WidenedInt8, 4, 1>();

}  // namespace veloz::cpu
