// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace veloz::text::jinja {

// Python's operators on values. A type that an operator does not take is Error(invalid_input) in
// Python's words; work is charged to the meter, where there is one.

enum class BinaryOp { add, sub, mul, div, floor_div, mod, pow, logical_and, logical_or };
enum class UnaryOp { plus, minus, logical_not };
enum class CompareOp { eq, ne, lt, le, gt, ge, in, not_in };

/// As Python's type(value).__name__, with jinja's "Undefined".
std::string_view type_name(const Value& value);

bool is_true(const Value& value);
bool equal(const Value& left, const Value& right, Meter* meter);
/// `left < right`; strings by code point, sequences item by item.
bool less(const Value& left, const Value& right, Meter& meter);
/// `needle in haystack`.
bool contains(const Value& haystack, const Value& needle, Meter& meter);
bool compare(CompareOp op, const Value& left, const Value& right, Meter& meter);
/// All but `and` and `or`, which the interpreter runs lazily, and `%` on strings.
Value arithmetic(BinaryOp op, const Value& left, const Value& right, Meter& meter);
Value unary(UnaryOp op, const Value& operand);

/// The items that `for` would walk: characters, keys, items; walks a generator to its end.
Value::Items iterate(const Value& value, Meter& meter);
/// len(value).
int64_t length(const Value& value);

[[noreturn]] void throw_type_error(std::string message);
[[noreturn]] void throw_unsupported(std::string message);
/// Throws where `value` cannot be a key of a dict.
void require_hashable(const Value& value);
/// Throws jinja2's error where `value` is undefined.
void require_defined(const Value& value);

}  // namespace veloz::text::jinja
