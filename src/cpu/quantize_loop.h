// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rows of numbers to codes of 8 bits, over the `Lanes` of the including file.

#include "cpu/row_loop.h"
#include "cpu/row_tile.h"

namespace veloz::cpu {
namespace {

/// The largest magnitude of a row. Magnitudes are compared as integers, so that infinity is above
/// all numbers and NaN above infinity.
template <typename Row>
float largest_of_row(const void* x, int64_t width) {
  const Lanes::I magnitude = Lanes::set1_int(0x7fffffff);
  Lanes::I largest = Lanes::set1_int(0);
  for_each_vector(0, width, [&](int64_t i, auto span) {
    largest =
        Lanes::max_int(largest, Lanes::and_int(Lanes::bits_of(Row::load(x, i, span)), magnitude));
  });
  return Lanes::first_lane(
      reduce(Lanes::from_bits(largest), [](const Lanes::F& a, const Lanes::F& b) {
        return Lanes::from_bits(Lanes::max_int(Lanes::bits_of(a), Lanes::bits_of(b)));
      }));
}

Lanes::F clamp(const Lanes::F& x, float limit) {
  return Lanes::min(Lanes::set1(limit), Lanes::max(Lanes::set1(-limit), x));
}

Lanes::I int8_codes(const Lanes::F& scaled) { return Lanes::round_to_int(clamp(scaled, 127.0f)); }

/// As Fp8E4M3's constructor does.
Lanes::I fp8_codes(const Lanes::F& scaled) {
  constexpr int32_t kExponents = (127 - 7) << 3;  // from one bias to the other, above the mantissa
  constexpr float kSmallestNormal = 0x1p-6f;
  constexpr float kUnitsOfSubnormals = 0x1p14f;  // a sum with it has a last bit of 2^-9
  constexpr int32_t kUnitsBits = 0x46800000;
  const Lanes::I bits = Lanes::bits_of(clamp(scaled, 448.0f));
  const Lanes::I sign = Lanes::and_int(Lanes::shift_right<24>(bits), Lanes::set1_int(0x80));
  const Lanes::I magnitude = Lanes::and_int(bits, Lanes::set1_int(0x7fffffff));
  const Lanes::I is_odd = Lanes::and_int(Lanes::shift_right<20>(magnitude), Lanes::set1_int(1));
  const Lanes::I rounded = Lanes::shift_right<20>(
      Lanes::add_int(magnitude, Lanes::add_int(is_odd, Lanes::set1_int(0x7ffff))));
  const Lanes::I normal = Lanes::add_int(rounded, Lanes::set1_int(-kExponents));
  const Lanes::I subnormal = Lanes::add_int(
      Lanes::bits_of(Lanes::add(Lanes::from_bits(magnitude), Lanes::set1(kUnitsOfSubnormals))),
      Lanes::set1_int(-kUnitsBits));
  const Lanes::F code = Lanes::where_less(Lanes::from_bits(magnitude), Lanes::set1(kSmallestNormal),
                                          Lanes::from_bits(subnormal), Lanes::from_bits(normal));
  return Lanes::or_int(sign, Lanes::bits_of(code));
}

void store_codes(uint8_t* to, const Lanes::I& codes, Whole) { Lanes::store_bytes(to, codes); }
void store_codes(uint8_t* to, const Lanes::I& codes, Part part) {
  Lanes::store_bytes(to, codes, part.count);
}

template <typename Row, Lanes::I (*codes_of)(const Lanes::F&)>
void quantize_row(const QuantizeRow& row) {
  const Lanes::F inverse = Lanes::set1(row.inverse);
  for_each_vector(0, row.width, [&](int64_t i, auto span) {
    store_codes(row.codes + i, codes_of(Lanes::mul(Row::load(row.x, i, span), inverse)), span);
  });
}

}  // namespace
}  // namespace veloz::cpu
