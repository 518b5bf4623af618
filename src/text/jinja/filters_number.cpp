// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "text/jinja/arguments.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/string_literal.h"

namespace veloz::text::jinja {
namespace {

constexpr double kInt64Bound = 9223372036854775808.0;  // 2^63

// Digits as int() and float() of Python take them: stripped, '_' only between digits.
std::optional<std::string> plain_digits(std::string_view text) {
  std::string digits;
  text = strip(text, Side::both, std::nullopt);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
      continue;
    }
    const bool is_between =
        i > 0 && i + 1 < text.size() && is_digit(text[i - 1]) && is_digit(text[i + 1]);
    if (!is_between) return std::nullopt;
  }
  if (!digits.empty() && digits.front() == '+') digits.erase(0, 1);
  const bool has_two_signs = digits.size() > 1 && digits[1] == '-' && text.front() == '+';
  return has_two_signs || digits.empty() ? std::nullopt : std::optional(digits);
}

std::optional<double> read_real(std::string_view text) {
  const std::optional<std::string> digits = plain_digits(text);
  if (!digits || digits->find_first_of("xX(") != std::string::npos) return std::nullopt;
  return parse_real(*digits);
}

std::optional<int64_t> parse_integer(std::string_view text, int base) {
  const std::optional<std::string> digits = plain_digits(text);
  if (!digits) return std::nullopt;
  int64_t value = 0;
  const char* end = digits->data() + digits->size();
  const auto result = std::from_chars(digits->data(), end, value, base);
  if (result.ptr != end) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) throw_unsupported("an integer beyond 64 bits");
  return value;
}

std::optional<int64_t> truncated(double value) {
  if (std::isnan(value) || std::isinf(value)) return std::nullopt;
  if (std::abs(value) >= kInt64Bound) throw_unsupported("an integer beyond 64 bits");
  return static_cast<int64_t>(value);
}

Value int_filter(Interpreter&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("int", arguments, {"default", "base"});
  const Value fallback = bound.has(0) ? *bound[0] : Value::integer(0);
  const int64_t base = bound.integer(1, 10);
  if (base < 2 || base > 36) throw_unsupported("a base of the filter 'int' outside 2 to 36");
  require_defined(input);
  if (input.is_integral()) return Value::integer(input.as_integer());
  std::optional<int64_t> value;
  if (input.is_string()) {
    value = parse_integer(input.as_string(), static_cast<int>(base));
    if (!value) {
      const std::optional<double> real = read_real(input.as_string());
      if (real) value = truncated(*real);
    }
  } else if (input.is_number()) {
    if (std::isinf(input.as_real())) throw_type_error("cannot convert infinity to an integer");
    value = truncated(input.as_real());
  }
  return value ? Value::integer(*value) : fallback;
}

Value float_filter(Interpreter&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("float", arguments, {"default"});
  require_defined(input);
  if (input.is_number()) return Value::real(input.as_real());
  if (input.is_string())
    if (const std::optional<double> value = read_real(input.as_string()))
      return Value::real(*value);
  return bound.has(0) ? *bound[0] : Value::real(0.0);
}

Value abs_filter(Interpreter&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("abs", arguments, {});
  require_defined(input);
  if (!input.is_number())
    throw_type_error(fmt::format("bad operand type for abs(): '{}'", type_name(input)));
  if (input.kind() == Kind::real) return Value::real(std::abs(input.as_real()));
  return input.as_integer() < 0 ? unary(UnaryOp::minus, input) : Value::integer(input.as_integer());
}

// Python's round(): the decimal nearest to the exact value, an exact half to the even digit.
double round_half_even(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits < -300) return std::copysign(0.0, value);
  if (digits >= 0) {
    // printf rounds the exact binary value, half to even.
    const std::string text = fmt::format("{:.{}f}", value, digits);
    return parse_real(text).value_or(value);
  }
  const double scale = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / scale) * scale;
}

Value round_filter(Interpreter&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("round", arguments, {"precision", "method"});
  const int64_t digits = bound.integer(0, 0);
  const std::string_view method = bound.string(1, "common");
  require_defined(input);
  if (!input.is_number())
    throw_type_error(fmt::format("type '{}' cannot be rounded", type_name(input)));
  if (method == "common") {
    if (input.is_integral() && digits >= 0) return Value::integer(input.as_integer());
    if (input.is_integral())
      return Value::integer(truncated(round_half_even(input.as_real(), digits)).value_or(0));
    return Value::real(round_half_even(input.as_real(), digits));
  }
  if (method != "ceil" && method != "floor")
    throw_type_error("the method of round must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = input.as_real() * scale;
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

constexpr std::pair<std::string_view, FilterFunction> kFilters[] = {
    {"abs", abs_filter}, {"float", float_filter}, {"int", int_filter}, {"round", round_filter}};

}  // namespace

FilterFunction find_number_filter(std::string_view name) {
  return find_in_table<FilterFunction>(kFilters, name);
}

}  // namespace veloz::text::jinja
