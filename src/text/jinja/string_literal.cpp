// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/string_literal.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "text/jinja/lexer.h"
#include "text/jinja/python_text.h"

namespace veloz::text::jinja {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// `\x41`, `\u0041`, `\U00000041`: `at` points behind the letter and moves behind the digits.
char32_t read_hex_escape(std::string_view literal, size_t& at, size_t digits, int line) {
  char32_t value = 0;
  for (size_t i = 0; i < digits; ++i, ++at) {
    const int digit = at < literal.size() ? hex_digit(literal[at]) : -1;
    if (digit < 0) throw_syntax_error(line, "a string has a truncated escape");
    value = value * 16 + static_cast<char32_t>(digit);
  }
  if (value > 0x10FFFF) throw_syntax_error(line, "a string has an escape beyond U+10FFFF");
  if (value >= 0xD800 && value <= 0xDFFF)
    throw_unsupported_construct(line, "a surrogate in a string");
  return value;
}

char32_t read_octal_escape(std::string_view literal, size_t& at) {
  char32_t value = 0;
  for (int i = 0; i < 3 && at < literal.size() && literal[at] >= '0' && literal[at] <= '7'; ++i)
    value = value * 8 + static_cast<char32_t>(literal[at++] - '0');
  return value;
}

constexpr std::string_view kSimpleEscapes = "ntr\\'\"abfv";
constexpr std::string_view kSimpleMeanings = "\n\t\r\\'\"\a\b\f\v";

}  // namespace

std::string unescape(std::string_view literal, int line) {
  std::string text;
  for (size_t at = 0; at < literal.size();) {
    if (literal[at] != '\\' || at + 1 >= literal.size()) {
      text += literal[at++];
      continue;
    }
    const char c = literal[at + 1];
    at += 2;
    if (const size_t simple = kSimpleEscapes.find(c); simple != std::string_view::npos) {
      text += kSimpleMeanings[simple];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      append_utf8(text, read_hex_escape(literal, at, c == 'x' ? 2 : c == 'u' ? 4 : 8, line));
    } else if (c >= '0' && c <= '7') {
      append_utf8(text, read_octal_escape(literal, --at));
    } else if (c == 'N') {
      throw_unsupported_construct(line, "the escape \\N in a string");
    } else if (c != '\n') {
      text += '\\';
      text += c;
    }
  }
  return text;
}

namespace {

// Length of `digit (_? digit)*` at `at`; 0 where no digit stands there.
template <typename IsDigit>
size_t digits_at(std::string_view text, size_t at, const IsDigit& is_digit) {
  size_t end = at;
  while (end < text.size()) {
    if (is_digit(text[end]))
      ++end;
    else if (text[end] == '_' && end > at && end + 1 < text.size() && is_digit(text[end + 1]))
      end += 2;
    else
      break;
  }
  return end - at;
}

bool is_decimal(char c) { return c >= '0' && c <= '9'; }

// Where a float that starts `text` ends; 0 if it is none.
size_t real_size(std::string_view text) {
  size_t end = digits_at(text, 0, is_decimal);
  bool is_real = false;
  if (end < text.size() && text[end] == '.') {
    const size_t fraction = digits_at(text, end + 1, is_decimal);
    if (fraction > 0) {
      is_real = true;
      end += 1 + fraction;
    }
  }
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    size_t at = end + 1;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    const size_t exponent = digits_at(text, at, is_decimal);
    if (exponent > 0) return at + exponent;
  }
  return is_real ? end : 0;
}

std::string without_underscores(std::string_view text) {
  std::string digits(text);
  digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  return digits;
}

int64_t parse_integer(std::string_view text, int base, int line) {
  const std::string digits = without_underscores(text);
  int64_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (result.ec != std::errc())
    throw_unsupported_construct(line, fmt::format("the integer {} beyond 64 bits", text));
  return value;
}

}  // namespace

std::optional<double> parse_real(std::string_view digits) {
  double value = 0;
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value);
  if (result.ptr != end || result.ec == std::errc::invalid_argument) return std::nullopt;
  if (result.ec != std::errc::result_out_of_range) return value;
  // from_chars does not tell too large from too small; only the latter has a negative exponent or
  // starts with zeros behind the point.
  const size_t exponent = digits.find_first_of("eE");
  const bool is_tiny = exponent != std::string_view::npos
                           ? digits.substr(exponent + 1, 1) == "-"
                           : digits.find_first_not_of("-0.") > digits.find('.');
  const double magnitude = is_tiny ? 0.0 : std::numeric_limits<double>::infinity();
  return digits.front() == '-' ? -magnitude : magnitude;
}

NumberLiteral read_number(std::string_view text, bool may_be_real, int line) {
  const size_t size = may_be_real ? real_size(text) : 0;
  if (size > 0) {
    const std::string digits = without_underscores(text.substr(0, size));
    return {.size = size, .is_real = true, .real = parse_real(digits).value_or(0.0)};
  }
  const char prefix = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
  const int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
  if (base != 10) {
    const auto in_base = [&](char c) { return hex_digit(c) >= 0 && hex_digit(c) < base; };
    const size_t skip = text[2] == '_' ? 3 : 2;
    const size_t digits = digits_at(text, skip, in_base);
    if (digits > 0)
      return {.size = skip + digits,
              .integer = parse_integer(text.substr(skip, digits), base, line)};
  }
  const size_t digits = text[0] == '0' ? digits_at(text, 0, [](char c) { return c == '0'; })
                                       : digits_at(text, 0, is_decimal);
  return {.size = digits, .integer = parse_integer(text.substr(0, digits), 10, line)};
}

}  // namespace veloz::text::jinja
