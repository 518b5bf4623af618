// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace veloz::text::jinja {

/// The text of a string literal without its quotes: Python's escapes resolved, unknown ones kept.
std::string unescape(std::string_view literal, int line);

/// A float's digits, which need no sign: infinity or zero beyond the range, as in Python. Nothing
/// where not all of `digits` is a number.
std::optional<double> parse_real(std::string_view digits);

struct NumberLiteral {
  size_t size = 0;  // bytes of the text
  bool is_real = false;
  int64_t integer = 0;
  double real = 0;
};

/// Reads the number that `text` starts with, which must be a digit: Python's integers in four
/// bases and, if `may_be_real`, its floats; '_' may stand between digits.
NumberLiteral read_number(std::string_view text, bool may_be_real, int line);

}  // namespace veloz::text::jinja
