// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_values.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "grammar/characters.h"
#include "grammar/decimal.h"
#include "grammar/schema_arrays.h"
#include "grammar/schema_compiler.h"
#include "grammar/schema_objects.h"
#include "grammar/schema_strings.h"

namespace veloz::grammar {
namespace {

using Type = JsonValue::Type;

class Validator {
 public:
  explicit Validator(SchemaCompiler& compiler) : compiler_(compiler) {}

  bool satisfies(const JsonValue& value, const MergedSchema& merged, int64_t depth) {
    compiler_.builder().budget().tick();
    compiler_.builder().budget().check_depth(depth);
    return !merged.is_impossible && is_among_values(value, merged) &&
           is_of_type(value, merged, depth) &&
           std::all_of(merged.alternatives.begin(), merged.alternatives.end(),
                       [&](const MergedSchema::Alternatives& offered) {
                         return satisfies_alternatives(value, offered, depth);
                       });
  }

 private:
  bool satisfies_set(const JsonValue& value, const SchemaSet& set, int64_t depth) {
    return satisfies(value, compiler_.merged(set), depth + 1);
  }

  static bool is_among_values(const JsonValue& value, const MergedSchema& merged) {
    return !merged.values ||
           std::any_of(merged.values->begin(), merged.values->end(),
                       [&](const JsonValue* one) { return are_equal(*one, value); });
  }

  bool satisfies_alternatives(const JsonValue& value, const MergedSchema::Alternatives& offered,
                              int64_t depth) {
    const auto count =
        std::count_if(offered.schemas.begin(), offered.schemas.end(),
                      [&](SchemaId one) { return satisfies_set(value, {{.schema = one}}, depth); });
    return offered.is_one_of ? count == 1 : count > 0;
  }

  bool is_of_type(const JsonValue& value, const MergedSchema& merged, int64_t depth) {
    switch (value.type) {
      case Type::null:
        return merged.types.has(TypeSet::kNull);
      case Type::boolean:
        return merged.types.has(TypeSet::kBoolean);
      case Type::number: {
        NumberRange range = merged.numbers;
        range.is_integer = !merged.types.has(TypeSet::kFraction);
        return merged.types.has(TypeSet::kNumber) && range.contains(Decimal::parse(value.text));
      }
      case Type::string:
        return merged.types.has(TypeSet::kString) &&
               is_allowed_string(compiler_, value.text, merged);
      case Type::array:
        return merged.types.has(TypeSet::kArray) && is_array(value, merged, depth);
      case Type::object:
        return merged.types.has(TypeSet::kObject) && is_object(value, merged, depth);
    }
    return false;
  }

  static bool is_within(size_t count, const MergedSchema::Length& length) {
    return count >= length.min && count <= length.max;
  }

  bool is_array(const JsonValue& value, const MergedSchema& merged, int64_t depth) {
    if (!is_within(value.items.size(), merged.num_items)) return false;
    for (size_t i = 0; i < value.items.size(); ++i)
      if (!satisfies_set(value.items[i], item_set(merged, i), depth)) return false;
    return true;
  }

  bool is_object(const JsonValue& value, const MergedSchema& merged, int64_t depth) {
    if (!is_within(value.members.size(), merged.num_members)) return false;
    const auto has = [&](const std::string& name) { return value.find(name) != nullptr; };
    if (!std::all_of(merged.required.begin(), merged.required.end(), has)) return false;
    return std::all_of(value.members.begin(), value.members.end(), [&](const auto& member) {
      const JsonValue name = {.type = Type::string, .text = member.first};
      for (const MergedSchema::Members& members : merged.members)
        if (members.names && !satisfies_set(name, {{.schema = *members.names}}, depth))
          return false;
      return satisfies_set(member.second, property_set(compiler_, merged, member.first), depth);
    });
  }

  SchemaCompiler& compiler_;
};

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

bool satisfies(SchemaCompiler& compiler, const JsonValue& value, const MergedSchema& merged) {
  return Validator(compiler).satisfies(value, merged, 0);
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
