// SPDX-License-Identifier: Apache-2.0
#include "grammar/decimal.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace veloz::grammar {
namespace {

constexpr int64_t kMaxDigits = 400;  // those of any double

std::strong_ordering compare_magnitudes(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() <=> b.whole.size();
  if (a.whole != b.whole) return a.whole.compare(b.whole) <=> 0;
  return a.fraction.compare(b.fraction) <=> 0;
}

}  // namespace

Decimal Decimal::parse(std::string_view spelling) {
  const auto refuse = [&] {
    throw Error(ErrorKind::invalid_input, fmt::format("the number {} has more than {} digits",
                                                      spelling.substr(0, 60), kMaxDigits));
  };
  const bool has_minus = spelling.starts_with('-');
  std::string_view digits = spelling.substr(has_minus ? 1 : 0);
  int64_t exponent = 0;
  if (const size_t e = digits.find_first_of("eE"); e != std::string_view::npos) {
    const bool is_down = digits.substr(e + 1).starts_with('-');
    for (const char c : digits.substr(e + 1))
      if (c >= '0' && c <= '9') exponent = std::min<int64_t>(exponent * 10 + (c - '0'), 1 << 20);
    if (is_down) exponent = -exponent;
    digits = digits.substr(0, e);
  }
  const size_t point = digits.find('.');
  std::string all(digits.substr(0, point));
  auto num_whole = static_cast<int64_t>(all.size());
  if (point != std::string_view::npos) all += digits.substr(point + 1);
  // Zeros at the ends first: they say nothing about how many digits the number needs.
  const size_t first = std::min(all.find_first_not_of('0'), all.size());
  all.erase(0, first);
  num_whole += exponent - static_cast<int64_t>(first);
  all.erase(all.find_last_not_of('0') + 1);
  if (all.empty()) return {};
  const auto num_digits = static_cast<int64_t>(all.size());
  if (std::max(num_whole, num_digits) > kMaxDigits || num_whole < -kMaxDigits) refuse();
  Decimal result;
  result.is_negative = has_minus;
  if (num_whole <= 0) {
    result.fraction = std::string(static_cast<size_t>(-num_whole), '0') + all;
  } else if (num_whole >= num_digits) {
    result.whole = all + std::string(static_cast<size_t>(num_whole - num_digits), '0');
  } else {
    result.whole = all.substr(0, static_cast<size_t>(num_whole));
    result.fraction = all.substr(static_cast<size_t>(num_whole));
  }
  return result;
}

uint64_t Decimal::modulo(uint64_t m, size_t scale) const {
  VELOZ_CHECK(m > 0 && m < (uint64_t{1} << 32) && fraction.size() <= scale,
              "{} digits after the point, scale {}, modulo {}", fraction.size(), scale, m);
  uint64_t rest = 0;
  for (const char c : whole) rest = (rest * 10 + static_cast<uint64_t>(c - '0')) % m;
  for (size_t i = 0; i < scale; ++i) {
    const char c = i < fraction.size() ? fraction[i] : '0';
    rest = (rest * 10 + static_cast<uint64_t>(c - '0')) % m;
  }
  return rest;
}

std::strong_ordering Decimal::operator<=>(const Decimal& other) const {
  if (is_negative != other.is_negative)
    return is_negative ? std::strong_ordering::less : std::strong_ordering::greater;
  return is_negative ? compare_magnitudes(other, *this) : compare_magnitudes(*this, other);
}

}  // namespace veloz::grammar
