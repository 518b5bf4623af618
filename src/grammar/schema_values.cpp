// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_values.h"

#include <utility>
#include <vector>

#include "grammar/characters.h"
#include "grammar/decimal.h"
#include "grammar/schema_compiler.h"
#include "grammar/schema_strings.h"

namespace veloz::grammar {
namespace {

using Type = JsonValue::Type;

Validity valid_if(bool condition) { return condition ? Validity::valid : Validity::invalid; }

Validity number_validity(const JsonValue& value, const MergedSchema& merged) {
  const Decimal number = Decimal::parse(value.text);
  NumberRange range = merged.numbers;
  range.is_integer = !merged.types.has(TypeSet::kFraction);
  return valid_if(merged.types.has(TypeSet::kNumber) && range.contains(number));
}

/// The parts, with commas and white space.
ExpressionId enclosed_list(SchemaCompiler& compiler, const char* open,
                           std::vector<ExpressionId> parts, const char* close) {
  Expressions& e = compiler.expressions();
  JsonRules& json = compiler.json();
  if (parts.empty()) return e.sequence({e.literal(open), json.gap(), e.literal(close)});
  std::vector<ExpressionId> all = {e.literal(open), json.gap()};
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) {
      all.push_back(e.literal(","));
      all.push_back(json.gap());
    }
    all.push_back(parts[i]);
  }
  all.push_back(json.gap());
  all.push_back(e.literal(close));
  return e.sequence(std::move(all));
}

}  // namespace

Validity may_be_valid(SchemaCompiler& compiler, const JsonValue& value,
                      const MergedSchema& merged) {
  if (merged.is_impossible) return Validity::invalid;
  const auto typed = [&](uint8_t type, bool says_more) {
    if (!merged.types.has(type)) return Validity::invalid;
    return says_more ? Validity::unknown : Validity::valid;
  };
  switch (value.type) {
    case Type::null:
      return typed(TypeSet::kNull, false);
    case Type::boolean:
      return typed(TypeSet::kBoolean, false);
    case Type::number:
      return number_validity(value, merged);
    case Type::string:
      return valid_if(merged.types.has(TypeSet::kString) &&
                      is_allowed_string(compiler, value.text, merged));
    case Type::array:
      return typed(TypeSet::kArray, (merged.spoken_of.bits & TypeSet::kArray) != 0);
    case Type::object:
      return typed(TypeSet::kObject, (merged.spoken_of.bits & TypeSet::kObject) != 0);
  }
  return Validity::invalid;
}

ExpressionId write_value(SchemaCompiler& compiler, const JsonValue& value) {
  Expressions& e = compiler.expressions();
  std::vector<ExpressionId> parts;
  switch (value.type) {
    case Type::null:
      return compiler.json().null();
    case Type::boolean:
      return e.literal(value.boolean ? "true" : "false");
    case Type::number:
      return e.literal(value.text);
    case Type::string:
      return e.literal("\"" + json_spelling(value.text) + "\"");
    case Type::array:
      for (const JsonValue& item : value.items) parts.push_back(write_value(compiler, item));
      return enclosed_list(compiler, "[", std::move(parts), "]");
    case Type::object:
      for (const auto& [name, member] : value.members)
        parts.push_back(e.sequence({e.literal("\"" + json_spelling(name) + "\""),
                                    compiler.json().colon(), write_value(compiler, member)}));
      return enclosed_list(compiler, "{", std::move(parts), "}");
  }
  return e.nothing();
}

}  // namespace veloz::grammar
