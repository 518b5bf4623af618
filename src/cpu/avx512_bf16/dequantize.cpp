// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/lanes.h"
#include "cpu/avx512_bf16/fp8_decoder.h"
#include "cpu/dequantize_loop.h"

namespace veloz::cpu {
namespace {

struct DecodingLanes : Lanes, TableDecoder {};

/// Pairs of neighbours along K, for eight channels: the order in which two registers of fp32 become
/// one step of bf16 pairs. Results too small to be normal become zero, as the products that follow
/// take them.
template <typename Codes>
struct PairedSteps : Dequantize<Codes, true> {
  using Base = Dequantize<Codes, true>;

  struct Scaling {
    __m512 scale[2];
    __m512 offset[2];
  };
  static Scaling scaling_of(const DequantizeTile& tile, int64_t g) {
    const typename Base::Scaling scaling = Base::scaling_of(tile, g);
    const __m512 offset = _mm512_add_ps(scaling.offset, _mm512_set1_ps(kMagic));
    return {{twice(scaling.scale, 0), twice(scaling.scale, 8)},
            {twice(offset, 0), twice(offset, 8)}};
  }

  static void store_pairs(char* to, const Scaling& scaling, __m512 low, __m512 high) {
    const __m512bh pairs = _mm512_cvtne2ps_pbh(_mm512_mul_ps(high, scaling.scale[1]),
                                               _mm512_mul_ps(low, scaling.scale[0]));
    _mm512_storeu_si512(to, reinterpret_cast<__m512i>(pairs));
  }
  /// Bytes 2 `pair` and 2 `pair` + 1 of each lane as numbers: in the mantissa of 2^23, from which
  /// subtracting 2^23 leaves them, exactly.
  template <int pair>
  static void store_bytes(char* to, const Scaling& scaling, __m512i codes) {
    store_pairs(to, scaling, _mm512_sub_ps(numbers<2 * pair>(codes), scaling.offset[0]),
                _mm512_sub_ps(numbers<2 * pair + 32>(codes), scaling.offset[1]));
  }

 private:
  static constexpr float kMagic = 0x1p23f;

  static __m512 twice(__m512 channels, int first) {
    const __m512i lanes = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(_mm512_add_epi32(lanes, _mm512_set1_epi32(first)), channels);
  }
  template <int first>
  static __m512 numbers(__m512i codes) {
    const __m512i places = _mm512_add_epi32(
        _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29),
        _mm512_set1_epi32(first));
    return _mm512_castsi512_ps(_mm512_mask_permutexvar_epi8(
        _mm512_castps_si512(_mm512_set1_ps(kMagic)), 0x1111111111111111u, places, codes));
  }
};

struct Uint4Steps : PairedSteps<Uint4Codes<DecodingLanes>> {
  static void run_step(const char* w, const Scaling& scaling, char* to) {
    const __m512i mask = _mm512_set1_epi8(15);
    const __m512i codes = _mm512_loadu_si512(w);
    const __m512i low = _mm512_and_si512(codes, mask);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), mask);
    store_bytes<0>(to, scaling, low);
    store_bytes<1>(to + kStepBytes, scaling, low);
    store_bytes<0>(to + 2 * kStepBytes, scaling, high);
    store_bytes<1>(to + 3 * kStepBytes, scaling, high);
  }
};

struct Int8Steps : PairedSteps<Int8Codes<DecodingLanes>> {
  static void run_step(const char* w, const Scaling& scaling, char* to) {
    const __m512i codes = _mm512_loadu_si512(w);
    store_bytes<0>(to, scaling, codes);
    store_bytes<1>(to + kStepBytes, scaling, codes);
  }
};

/// Even and odd numbers apart, as the decoder gives them; brought together at the end.
struct Fp8Steps : Dequantize<Fp8Codes<DecodingLanes>, true> {
  static void run_step(const char* w, const Scaling& scaling, char* to) {
    const Fp8Step step = decode(load_int(w));
    store_pairs(to, scaling, step.first);
    store_pairs(to + kStepBytes, scaling, step.second);
  }

 private:
  static void store_pairs(char* to, const Scaling& scaling, I pairs) {
    const __m512i halves = reinterpret_cast<__m512i>(
        _mm512_cvtne2ps_pbh(mul(odd_of(pairs), scaling.scale), mul(even_of(pairs), scaling.scale)));
    alignas(64) static constexpr uint16_t kPlaces[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                         21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                         11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    store_int(to, _mm512_permutexvar_epi16(load_int(kPlaces), halves));
  }
};

constexpr DequantizeMicro make_micro() {
  DequantizeMicro micro = make_dequantize_micro<DecodingLanes>();
  micro.int8.to_bf16 = run_dequantize<Int8Steps>;
  micro.fp8.to_bf16 = run_dequantize<Fp8Steps>;
  micro.uint4x2.to_bf16 = run_dequantize<Uint4Steps>;
  return micro;
}

}  // namespace

constexpr DequantizeMicro kDequantizeAvx512Bf16 = make_micro();

}  // namespace veloz::cpu
