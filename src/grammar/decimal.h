// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace veloz::grammar {

/// A decimal number, exactly.
struct Decimal {
  bool is_negative = false;   // never for zero
  std::string whole = "0";    // digits before the point, no zeros in front
  std::string fraction = {};  // digits after it, no zeros at the end

  /// Of a number as JSON spells it. Throws Error(invalid_input) where its digits, written out, are
  /// too many.
  static Decimal parse(std::string_view spelling);

  bool is_zero() const { return whole == "0" && fraction.empty(); }
  bool is_integer() const { return fraction.empty(); }
  /// |*this| * 10^scale modulo m, where no digit is lost by it.
  uint64_t modulo(uint64_t m, size_t scale) const;

  bool operator==(const Decimal&) const = default;
  std::strong_ordering operator<=>(const Decimal& other) const;
};

}  // namespace veloz::grammar
