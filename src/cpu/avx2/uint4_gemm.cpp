// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/lanes.h"
#include "cpu/uint4_loop.h"

namespace veloz::cpu {
namespace {

/// 16 int32, or 64 bytes, in two registers.
struct Integers {
  __m256i low;
  __m256i high;
};

/// Two products of at most 15 * 128 fit 16 bits without saturation, and so do the eight pairs of a
/// chunk.
struct WidenedUint4 : Lanes {
  using Sums = Integers;
  using Codes = Integers;
  using Inputs = __m256i;
  using Chunk = Integers;

  static F load_fp16(const void* from) {
    const auto* const halves = static_cast<const __m128i*>(from);
    return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
  }
  static Sums set1_int(int32_t value) {
    return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)};
  }
  static Sums load_bytes(const uint8_t* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
  }
  static Sums mul_int(const Sums& a, const Sums& b) {
    return {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
  }
  static F to_float(const Sums& a) {
    return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
  }
  static Codes load_codes(const char* w) {
    const auto* const halves = reinterpret_cast<const __m256i*>(w);
    return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
  }
  static Codes low_codes(const Codes& codes) {
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(codes.low, mask), _mm256_and_si256(codes.high, mask)};
  }
  static Codes high_codes(const Codes& codes) {
    return low_codes({_mm256_srli_epi16(codes.low, 4), _mm256_srli_epi16(codes.high, 4)});
  }
  static Inputs load_quad(const char* x) {
    int32_t quad;
    __builtin_memcpy(&quad, x, sizeof(quad));
    return _mm256_set1_epi32(quad);
  }

  static Chunk begin_chunk(const Sums&) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static Chunk multiply_add(const Chunk& products, const Codes& codes, Inputs quad) {
    return {_mm256_add_epi16(products.low, _mm256_maddubs_epi16(codes.low, quad)),
            _mm256_add_epi16(products.high, _mm256_maddubs_epi16(codes.high, quad))};
  }
  static Sums end_chunk(const Sums& sums, const Chunk& products) {
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
