// SPDX-License-Identifier: Apache-2.0
#pragma once

// Walks along rows of fp32 or bf16, over the `Lanes` of the including file.

#include <cstdint>

#include "cpu/simd_math.h"

namespace veloz::cpu {
namespace {

constexpr int64_t kLanes = 16;

/// How much of a vector there is: all of it, or the end of a row.
struct Whole {};
struct Part {
  int64_t count;
};

struct Fp32Row {
  static constexpr int64_t kElementBytes = 4;
  static const float* at(const void* row, int64_t i) { return static_cast<const float*>(row) + i; }
  static float* at(void* row, int64_t i) { return static_cast<float*>(row) + i; }
  static Lanes::F load(const void* row, int64_t i, Whole) { return Lanes::load(at(row, i)); }
  static Lanes::F load(const void* row, int64_t i, Part part) {
    return Lanes::load(at(row, i), part.count);
  }
  static void store(void* row, int64_t i, const Lanes::F& a, Whole) { Lanes::store(at(row, i), a); }
  static void store(void* row, int64_t i, const Lanes::F& a, Part part) {
    Lanes::store(at(row, i), a, part.count);
  }
};

struct Bf16Row {
  static constexpr int64_t kElementBytes = 2;
  static const char* at(const void* row, int64_t i) {
    return static_cast<const char*>(row) + i * kElementBytes;
  }
  static char* at(void* row, int64_t i) { return static_cast<char*>(row) + i * kElementBytes; }
  static Lanes::F load(const void* row, int64_t i, Whole) { return Lanes::load_bf16(at(row, i)); }
  static Lanes::F load(const void* row, int64_t i, Part part) {
    return Lanes::load_bf16(at(row, i), part.count);
  }
  static void store(void* row, int64_t i, const Lanes::F& a, Whole) {
    Lanes::store_bf16(at(row, i), a);
  }
  static void store(void* row, int64_t i, const Lanes::F& a, Part part) {
    Lanes::store_bf16(at(row, i), a, part.count);
  }
};

/// Zero in the lanes that are not there.
Lanes::F only(const Lanes::F& a, Whole) { return a; }
Lanes::F only(const Lanes::F& a, Part part) {
  return Lanes::keep_first(a, part.count, Lanes::zero());
}

/// Calls f(i, Whole or Part) for the vectors of elements [begin, end), in order.
template <typename F>
void for_each_vector(int64_t begin, int64_t end, const F& f) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) f(i, Whole{});
  if (i < end) f(i, Part{end - i});
}

/// Sum over a row: f(sum so far, i, Whole or Part) adds a vector. Four chains, so that one addition
/// need not wait for the one before; their order depends on the width alone.
template <typename F>
float sum_row(int64_t width, const F& f) {
  constexpr int kChains = 4;
  Lanes::F sums[kChains];
  for (Lanes::F& sum : sums) sum = Lanes::zero();
  int64_t i = 0;
  for (; i + kChains * kLanes <= width; i += kChains * kLanes)
    for (int c = 0; c < kChains; ++c) sums[c] = f(sums[c], i + c * kLanes, Whole{});
  for_each_vector(i, width, [&](int64_t at, auto span) { sums[0] = f(sums[0], at, span); });
  return reduce_add(Lanes::add(Lanes::add(sums[0], sums[1]), Lanes::add(sums[2], sums[3])));
}

}  // namespace
}  // namespace veloz::cpu
