// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"

namespace veloz::cpu {
namespace {

/// 16 fp32, which the compiler spreads over the registers it has: what the loops of kernels are
/// written over. Every instruction set has a struct of this name and these functions, so that one
/// loop gives the same bits on all of them; but only this one rounds a product before it is added,
/// because not every processor fuses the two.
struct Lanes {
  struct F {
    float lane[16];
  };
  struct I {
    int32_t lane[16];
  };

  static F zero() { return {}; }
  static F set1(float value) {
    return make([=](int) { return value; });
  }
  static F load(const float* from) { return load(from, 16); }
  /// The first `count` (0 to 16) lanes; the others are zero. So for all that follow.
  static F load(const float* from, int64_t count) {
    F lanes{};
    std::memcpy(&lanes, from, static_cast<size_t>(count) * sizeof(float));
    return lanes;
  }
  static void store(float* to, const F& a) { store(to, a, 16); }
  static void store(float* to, const F& a, int64_t count) {
    std::memcpy(to, &a, static_cast<size_t>(count) * sizeof(float));
  }
  static F load_bf16(const void* from) { return load_bf16(from, 16); }
  static F load_bf16(const void* from, int64_t count) {
    uint16_t bits[16] = {};
    std::memcpy(bits, from, static_cast<size_t>(count) * sizeof(uint16_t));
    return make([&](int i) { return std::bit_cast<float>(uint32_t{bits[i]} << 16); });
  }
  static F load_fp16(const void* from) {
    uint16_t bits[16];
    std::memcpy(bits, from, sizeof(bits));
    return make([&](int i) { return fp16_to_fp32(bits[i]); });
  }
  /// Rounds as BFloat16's constructor does.
  static void store_bf16(void* to, const F& a) { store_bf16(to, a, 16); }
  static void store_bf16(void* to, const F& a, int64_t count) {
    uint16_t bits[16];
    for (int i = 0; i < 16; ++i) bits[i] = BFloat16(a.lane[i]).bits;
    std::memcpy(to, bits, static_cast<size_t>(count) * sizeof(uint16_t));
  }
  static F add(const F& a, const F& b) {
    return make([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static F sub(const F& a, const F& b) {
    return make([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static F mul(const F& a, const F& b) {
    return make([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static F div(const F& a, const F& b) {
    return make([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  /// a * b + c
  static F mul_add(const F& a, const F& b, const F& c) {
    return make([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
  }
  /// b where either is NaN. So for min.
  static F max(const F& a, const F& b) {
    return make([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static F min(const F& a, const F& b) {
    return make([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static F abs(const F& a) {
    return make([&](int i) {
      return std::bit_cast<float>(std::bit_cast<uint32_t>(a.lane[i]) & 0x7fffffffu);
    });
  }
  /// To the nearest integer, ties to even; |a| < 2^22 or NaN.
  static F round(const F& a) {
    constexpr float kShift = 0x1.8p23f;  // leaves no bits for a fraction
    return make([&](int i) { return (a.lane[i] + kShift) - kShift; });
  }
  /// a * 2^n for an integer n in [-126, 127], or NaN.
  static F scale_by_power(const F& a, const F& n) {
    constexpr float kShift = 0x1.8p23f + 127;  // brings n + 127 to the lowest bits
    return make([&](int i) {
      return a.lane[i] * std::bit_cast<float>(std::bit_cast<uint32_t>(n.lane[i] + kShift) << 23);
    });
  }
  /// a < b ? yes : no
  static F where_less(const F& a, const F& b, const F& yes, const F& no) {
    return make([&](int i) { return a.lane[i] < b.lane[i] ? yes.lane[i] : no.lane[i]; });
  }
  /// Lanes 2 i and 2 i + 1 change places.
  static F swap_pairs(const F& a) {
    return make([&](int i) { return a.lane[i ^ 1]; });
  }
  /// Lane i is lane i + n, for i below n (1, 2, 4 or 8); what the others are is not said.
  template <int n>
  static F move_down(const F& a) {
    return make([&](int i) { return a.lane[(i + n) % 16]; });
  }
  static float first_lane(const F& a) { return a.lane[0]; }
  /// Lanes from `count` on are replaced.
  static F keep_first(const F& a, int64_t count, const F& other) {
    return make([&](int i) { return i < count ? a.lane[i] : other.lane[i]; });
  }

  // The same for 16 int32.
  static I set1_int(int32_t value) {
    return make_int([=](int) { return value; });
  }
  static I load_int(const void* from) {
    I lanes;
    std::memcpy(&lanes, from, sizeof(lanes));
    return lanes;
  }
  static void store_int(void* to, const I& a) { std::memcpy(to, &a, sizeof(a)); }
  static I add_int(const I& a, const I& b) {  // wraps around
    return make_int([&](int i) { return to_signed(to_unsigned(a, i) + to_unsigned(b, i)); });
  }
  static I max_int(const I& a, const I& b) {
    return make_int([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static I and_int(const I& a, const I& b) {
    return make_int([&](int i) { return a.lane[i] & b.lane[i]; });
  }
  static I or_int(const I& a, const I& b) {
    return make_int([&](int i) { return a.lane[i] | b.lane[i]; });
  }
  /// Zeros come in from the left.
  template <int n>
  static I shift_right(const I& a) {
    return make_int([&](int i) { return to_signed(to_unsigned(a, i) >> n); });
  }
  template <int n>
  static I shift_left(const I& a) {
    return make_int([&](int i) { return to_signed(to_unsigned(a, i) << n); });
  }
  static I mul_int(const I& a, const I& b) {  // wraps around
    return make_int([&](int i) { return to_signed(to_unsigned(a, i) * to_unsigned(b, i)); });
  }
  static I load_uint8(const void* from) {
    uint8_t bytes[16];
    std::memcpy(bytes, from, sizeof(bytes));
    return make_int([&](int i) { return int32_t{bytes[i]}; });
  }
  static F int_to_fp32(const I& a) {
    return make([&](int i) { return static_cast<float>(a.lane[i]); });
  }
  /// To the nearest, ties to even; |a| < 2^22.
  static I round_to_int(const F& a) {
    const F rounded = round(a);
    return make_int([&](int i) { return static_cast<int32_t>(rounded.lane[i]); });
  }
  static I bits_of(const F& a) {
    return make_int([&](int i) { return std::bit_cast<int32_t>(a.lane[i]); });
  }
  static F from_bits(const I& a) {
    return make([&](int i) { return std::bit_cast<float>(a.lane[i]); });
  }
  /// Each rounded to bf16, in the lower half of its lane.
  static I bf16_bits(const F& a) {
    return make_int([&](int i) { return int32_t{BFloat16(a.lane[i]).bits}; });
  }
  /// The lowest byte of each.
  static void store_bytes(void* to, const I& a) { store_bytes(to, a, 16); }
  static void store_bytes(void* to, const I& a, int64_t count) {
    uint8_t bytes[16];
    for (int i = 0; i < 16; ++i) bytes[i] = static_cast<uint8_t>(to_unsigned(a, i));
    std::memcpy(to, bytes, static_cast<size_t>(count));
  }

 private:
  template <typename Function>
  static F make(const Function& f) {
    F lanes;
    for (int i = 0; i < 16; ++i) lanes.lane[i] = f(i);
    return lanes;
  }
  template <typename Function>
  static I make_int(const Function& f) {
    I lanes;
    for (int i = 0; i < 16; ++i) lanes.lane[i] = f(i);
    return lanes;
  }
  static uint32_t to_unsigned(const I& a, int i) { return static_cast<uint32_t>(a.lane[i]); }
  static int32_t to_signed(uint32_t a) { return static_cast<int32_t>(a); }
};

}  // namespace
}  // namespace veloz::cpu
