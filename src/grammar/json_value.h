// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/budget.h"

namespace veloz::grammar {

/// A JSON value as it was written: members in their order, numbers as their digits.
struct JsonValue {
  enum class Type { null, boolean, number, string, array, object };
  Type type = Type::null;
  bool boolean = false;
  std::string text{};              // string: its content; number: spelling
  std::vector<JsonValue> items{};  // array
  std::vector<std::pair<std::string, JsonValue>> members{};  // object

  bool is(Type wanted) const { return type == wanted; }
  /// Null where there is no such member, or this is no object.
  const JsonValue* find(std::string_view name) const;
};

/// Throws Error(invalid_input) that says where: malformed, too deep, a key twice in one object.
JsonValue parse_json(std::string_view text, Budget& budget);

/// As JSON Schema means it: 1 and 1.0 are equal, the order of members does not matter.
bool are_equal(const JsonValue& a, const JsonValue& b);

/// `pointer` with one more step, escaped as RFC 6901 has it.
std::string pointer_to(std::string_view pointer, std::string_view step);

}  // namespace veloz::grammar
