// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <math.h>

#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "base/fp8.h"
#include "cuda/sim/threads.h"
#include "cuda/sim/warp.h"

/// Of ptx/matrix.h, on the simulated multiprocessor.
namespace veloz::cuda {

namespace sim {

struct MatrixLoad {
  const unsigned char* row;  // of matrix lane / 8, row lane % 8
  uint32_t r[4];
};
inline uint32_t element16(const unsigned char* row, int i) {
  uint16_t value;
  std::memcpy(&value, row + 2 * i, sizeof(value));
  return value;
}
inline void load(MatrixLoad** all, int) {
  for (int lane = 0; lane < warpSize; ++lane)
    for (int m = 0; m < 4; ++m) {
      const unsigned char* const row = all[8 * m + lane / 4]->row;
      const int column = lane % 4 * 2;
      all[lane]->r[m] = element16(row, column) | element16(row, column + 1) << 16;
    }
}
inline void load_transposed(MatrixLoad** all, int) {
  for (int lane = 0; lane < warpSize; ++lane)
    for (int m = 0; m < 4; ++m) {
      const int row = 8 * m + lane % 4 * 2;
      all[lane]->r[m] = element16(all[row]->row, lane / 4) | element16(all[row + 1]->row, lane / 4)
                                                                 << 16;
    }
}
template <void (*kLoad)(MatrixLoad**, int)>
void load_matrices(uint32_t (&r)[4], const void* row, const char* what, Site site) {
  require(reinterpret_cast<uintptr_t>(row) % 16 == 0, "ldmatrix of a row at an odd address");
  require(num_threads() % warpSize == 0, "ldmatrix in a warp with lanes missing");
  MatrixLoad mine{static_cast<const unsigned char*>(row), {}};
  rendezvous<MatrixLoad, kLoad>(Scope::warp, what, mine, site);
  std::memcpy(r, mine.r, sizeof(r));
}

inline float bf16_value(uint32_t bits) { return std::bit_cast<float>(bits << 16); }
inline float fp16_value(uint32_t bits) { return fp16_to_fp32(static_cast<uint16_t>(bits)); }

struct Product {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};
/// Sums in order of k, one rounding for each product: the hardware's order is its own.
template <float (*kValue)(uint32_t)>
void multiply(Product** all, int) {
  constexpr int kM = 16, kN = 8, kK = 16;
  float a[kM][kK], b[kK][kN], d[kM][kN];
  for (int lane = 0; lane < warpSize; ++lane) {
    const Product& mine = *all[lane];
    const int g = lane / 4, j = lane % 4 * 2;
    for (int i = 0; i < 2; ++i) {
      const int shift = 16 * i;
      a[g][j + i] = kValue(mine.a[0] >> shift & 0xffffu);
      a[g + 8][j + i] = kValue(mine.a[1] >> shift & 0xffffu);
      a[g][j + 8 + i] = kValue(mine.a[2] >> shift & 0xffffu);
      a[g + 8][j + 8 + i] = kValue(mine.a[3] >> shift & 0xffffu);
      b[j + i][g] = kValue(mine.b[0] >> shift & 0xffffu);
      b[j + 8 + i][g] = kValue(mine.b[1] >> shift & 0xffffu);
      d[g][j + i] = mine.d[i];
      d[g + 8][j + i] = mine.d[2 + i];
    }
  }
  for (int m = 0; m < kM; ++m)
    for (int k = 0; k < kK; ++k)
      for (int n = 0; n < kN; ++n) d[m][n] += a[m][k] * b[k][n];
  for (int lane = 0; lane < warpSize; ++lane)
    for (int i = 0; i < 2; ++i) {
      all[lane]->d[i] = d[lane / 4][lane % 4 * 2 + i];
      all[lane]->d[2 + i] = d[lane / 4 + 8][lane % 4 * 2 + i];
    }
}
template <float (*kValue)(uint32_t)>
void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const char* what,
              Site site) {
  require(num_threads() % warpSize == 0, "mma in a warp with lanes missing");
  Product mine{d, a, b};
  rendezvous<Product, multiply<kValue>>(Scope::warp, what, mine, site);
}

// Conversions by instruction make every NaN this one.
constexpr uint32_t kNan16 = 0x7fffu;
inline uint32_t bf16_bits(float x) { return x != x ? kNan16 : BFloat16(x).bits; }
inline uint32_t fp16_bits(float x) { return x != x ? kNan16 : fp32_to_fp16(x); }

}  // namespace sim

inline void load_matrices(uint32_t (&r)[4], const void* row, VELOZ_SIM_SITE) {
  sim::load_matrices<sim::load>(r, row, "ldmatrix", site);
}
inline void load_matrices_transposed(uint32_t (&r)[4], const void* row, VELOZ_SIM_SITE) {
  sim::load_matrices<sim::load_transposed>(r, row, "ldmatrix.trans", site);
}

inline void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                          VELOZ_SIM_SITE) {
  sim::multiply<sim::bf16_value>(d, a, b, "mma of bf16", site);
}
inline void multiply_fp16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                          VELOZ_SIM_SITE) {
  sim::multiply<sim::fp16_value>(d, a, b, "mma of fp16", site);
}

inline uint32_t e4m3x2_to_fp16x2(uint16_t codes) {
  const auto half = [](uint32_t code) {
    Fp8E4M3 value;
    value.bits = static_cast<uint8_t>(code);
    return sim::fp16_bits(static_cast<float>(value));
  };
  return half(codes & 0xffu) | half(codes >> 8) << 16;
}
inline uint32_t to_bf16x2(float low, float high) {
  return sim::bf16_bits(low) | sim::bf16_bits(high) << 16;
}
inline uint32_t to_fp16x2(float low, float high) {
  return sim::fp16_bits(low) | sim::fp16_bits(high) << 16;
}
inline float exp2_fast(float x) {
  const float y = ::exp2f(x);
  return y < 0x1p-126f ? 0.0f : y;  // what has no normal form is 0
}

}  // namespace veloz::cuda
