// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"

namespace veloz::text::jinja {
namespace {

std::string_view symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::add:
      return "+";
    case BinaryOp::sub:
      return "-";
    case BinaryOp::mul:
      return "*";
    case BinaryOp::div:
      return "/";
    case BinaryOp::floor_div:
      return "//";
    case BinaryOp::mod:
      return "%";
    case BinaryOp::pow:
      return "**";
    case BinaryOp::logical_and:
      return "and";
    case BinaryOp::logical_or:
      return "or";
  }
  return "?";
}

[[noreturn]] void throw_overflow(BinaryOp op) {
  throw_unsupported(fmt::format("the result of '{}' does not fit a 64-bit integer", symbol(op)));
}

[[noreturn]] void throw_zero_division() { throw_type_error("division by zero"); }

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) throw_zero_division();
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  for (int64_t factor = base; exponent > 0;) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, factor, &result))
      throw_overflow(BinaryOp::pow);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(factor, factor, &factor))
      throw_overflow(BinaryOp::pow);
  }
  return Value::integer(result);
}

// Rounds towards minus infinity, as Python does; INT64_MIN // -1 overflows.
Value integer_division(BinaryOp op, int64_t left, int64_t right) {
  if (right == 0) throw_zero_division();
  if (right == -1) {
    int64_t negated = 0;
    if (op == BinaryOp::mod) return Value::integer(0);
    if (__builtin_sub_overflow(int64_t{0}, left, &negated)) throw_overflow(op);
    return Value::integer(negated);
  }
  const int64_t remainder = left % right;
  const bool adjust = remainder != 0 && (remainder < 0) != (right < 0);
  if (op == BinaryOp::mod) return Value::integer(adjust ? remainder + right : remainder);
  return Value::integer(left / right - (adjust ? 1 : 0));
}

Value integer_arithmetic(BinaryOp op, int64_t left, int64_t right) {
  int64_t result = 0;
  switch (op) {
    case BinaryOp::add:
      if (__builtin_add_overflow(left, right, &result)) throw_overflow(op);
      return Value::integer(result);
    case BinaryOp::sub:
      if (__builtin_sub_overflow(left, right, &result)) throw_overflow(op);
      return Value::integer(result);
    case BinaryOp::mul:
      if (__builtin_mul_overflow(left, right, &result)) throw_overflow(op);
      return Value::integer(result);
    case BinaryOp::div:
      if (right == 0) throw_zero_division();
      return Value::real(static_cast<double>(left) / static_cast<double>(right));
    case BinaryOp::floor_div:
    case BinaryOp::mod:
      return integer_division(op, left, right);
    case BinaryOp::pow:
      return integer_power(left, right);
    case BinaryOp::logical_and:
    case BinaryOp::logical_or:
      break;
  }
  return Value();
}

Value real_power(double left, double right) {
  if (left == 0.0 && right < 0.0) throw_zero_division();
  const double result = std::pow(left, right);
  if (std::isnan(result) && !std::isnan(left) && !std::isnan(right))
    throw_unsupported("a power of a negative number is complex");
  if (std::isinf(result) && std::isfinite(left) && std::isfinite(right))
    throw_type_error("numerical result out of range");
  return Value::real(result);
}

Value real_arithmetic(BinaryOp op, double left, double right) {
  const bool divides = op == BinaryOp::div || op == BinaryOp::floor_div || op == BinaryOp::mod;
  if (divides && right == 0.0) throw_zero_division();
  switch (op) {
    case BinaryOp::add:
      return Value::real(left + right);
    case BinaryOp::sub:
      return Value::real(left - right);
    case BinaryOp::mul:
      return Value::real(left * right);
    case BinaryOp::div:
      return Value::real(left / right);
    case BinaryOp::floor_div:
    case BinaryOp::mod: {
      double remainder = std::fmod(left, right);
      double quotient = (left - remainder) / right;
      if (remainder != 0.0 && (remainder < 0.0) != (right < 0.0)) {
        remainder += right;
        quotient -= 1.0;
      }
      if (remainder == 0.0) remainder = std::copysign(0.0, right);
      if (op == BinaryOp::mod) return Value::real(remainder);
      const double whole = std::floor(quotient);
      return Value::real(quotient - whole > 0.5 ? whole + 1.0 : whole);
    }
    case BinaryOp::pow:
      return real_power(left, right);
    case BinaryOp::logical_and:
    case BinaryOp::logical_or:
      break;
  }
  return Value();
}

bool is_list_or_tuple(const Value& value) {
  return value.is_sequence() && value.sequence_kind() <= SequenceKind::tuple;
}

Value repeat(const Value& value, int64_t times, Meter& meter) {
  const size_t count = times > 0 ? static_cast<size_t>(times) : 0;
  const size_t unit = value.is_string() ? value.as_string().size() : value.items().size();
  size_t total = 0;
  if (__builtin_mul_overflow(unit, count, &total)) total = SIZE_MAX;
  if (value.is_string()) {
    const Charge room(&meter, total);
    meter.work(total);
    std::string text;
    text.reserve(total);
    for (size_t i = 0; i < count && unit > 0; ++i) text += value.as_string();
    return Value::string(std::move(text), &meter);
  }
  size_t bytes = 0;
  if (__builtin_mul_overflow(total, sizeof(Value), &bytes)) bytes = SIZE_MAX;
  const Charge room(&meter, bytes);
  meter.work(bytes);
  Value::Items items;
  items.reserve(total);
  for (size_t i = 0; i < count && unit > 0; ++i)
    items.insert(items.end(), value.items().begin(), value.items().end());
  return Value::sequence(value.sequence_kind(), std::move(items), &meter);
}

Value concatenate(const Value& left, const Value& right, Meter& meter) {
  if (left.is_string()) {
    const size_t total = left.as_string().size() + right.as_string().size();
    const Charge room(&meter, total);
    meter.work(total);
    std::string text;
    text.reserve(total);
    text.append(left.as_string()).append(right.as_string());
    return Value::string(std::move(text), &meter);
  }
  const size_t bytes = (left.items().size() + right.items().size()) * sizeof(Value);
  const Charge room(&meter, bytes);
  meter.work(bytes);
  Value::Items items = left.items();
  items.insert(items.end(), right.items().begin(), right.items().end());
  return Value::sequence(left.sequence_kind(), std::move(items), &meter);
}

}  // namespace

Value arithmetic(BinaryOp op, const Value& left, const Value& right, Meter& meter) {
  meter.step();
  require_defined(left);
  require_defined(right);
  if (left.is_integral() && right.is_integral())
    return integer_arithmetic(op, left.as_integer(), right.as_integer());
  if (left.is_number() && right.is_number())
    return real_arithmetic(op, left.as_real(), right.as_real());
  const bool same_type = (left.is_string() && right.is_string()) ||
                         (is_list_or_tuple(left) && is_list_or_tuple(right) &&
                          left.sequence_kind() == right.sequence_kind());
  if (op == BinaryOp::add && same_type) return concatenate(left, right, meter);
  const auto is_repeatable = [](const Value& value) {
    return value.is_string() || is_list_or_tuple(value);
  };
  if (op == BinaryOp::mul && is_repeatable(left) && right.is_integral())
    return repeat(left, right.as_integer(), meter);
  if (op == BinaryOp::mul && is_repeatable(right) && left.is_integral())
    return repeat(right, left.as_integer(), meter);
  if (op == BinaryOp::mod && left.is_string()) return format_percent(left, right, meter);
  throw_type_error(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", symbol(op),
                               type_name(left), type_name(right)));
}

Value unary(UnaryOp op, const Value& operand) {
  if (op == UnaryOp::logical_not) return Value::boolean(!is_true(operand));
  require_defined(operand);
  const bool is_minus = op == UnaryOp::minus;
  if (operand.kind() == Kind::real)
    return Value::real(is_minus ? -operand.as_real() : operand.as_real());
  if (!operand.is_integral())
    throw_type_error(fmt::format("bad operand type for unary {}: '{}'", is_minus ? "-" : "+",
                                 type_name(operand)));
  if (!is_minus) return Value::integer(operand.as_integer());
  return integer_arithmetic(BinaryOp::sub, 0, operand.as_integer());
}

}  // namespace veloz::text::jinja
