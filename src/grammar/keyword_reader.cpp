// SPDX-License-Identifier: Apache-2.0
#include "grammar/keyword_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "grammar/schema_keywords.h"
#include "grammar/string_formats.h"

namespace veloz::grammar {
namespace {

using Type = JsonValue::Type;

constexpr uint32_t kMaxLeastCount = 1'000'000'000;

const char* name_of(Type type) {
  switch (type) {
    case Type::null:
      return "null";
    case Type::boolean:
      return "a boolean";
    case Type::number:
      return "a number";
    case Type::string:
      return "a string";
    case Type::array:
      return "an array";
    case Type::object:
      return "an object";
  }
  return "";
}

uint8_t type_bits(std::string_view name) {
  struct Named {
    std::string_view name;
    uint8_t bits;
  };
  static constexpr Named kTypes[] = {{"null", TypeSet::kNull},       {"boolean", TypeSet::kBoolean},
                                     {"integer", TypeSet::kInteger}, {"number", TypeSet::kNumber},
                                     {"string", TypeSet::kString},   {"array", TypeSet::kArray},
                                     {"object", TypeSet::kObject}};
  for (const Named& type : kTypes)
    if (type.name == name) return type.bits;
  return 0;
}

const char* hint_for(std::string_view keyword) {
  if (keyword == "unevaluatedProperties") return "use \"additionalProperties\"";
  if (keyword == "unevaluatedItems") return "use \"items\"";
  return "remove it; check what it asks for after generation";
}

}  // namespace

std::vector<SchemaId> read_schemas(SchemaDocument& document, SchemaId of, std::string_view keyword,
                                   const JsonValue& list) {
  const std::string pointer = document.pointer(of, keyword);
  if (!list.is(Type::array) || list.items.empty())
    document.refuse(pointer, "this must be an array of at least one schema");
  std::vector<SchemaId> schemas;
  for (size_t i = 0; i < list.items.size(); ++i)
    schemas.push_back(document.id_of(list.items[i], pointer_to(pointer, std::to_string(i))));
  return schemas;
}

void KeywordReader::read() {
  if (schema_.is(Type::boolean)) {
    merged_.is_impossible |= !schema_.boolean;
    return;
  }
  for (const auto& [keyword, value] : schema_.members) {
    if (use_of(keyword) != KeywordUse::refused) continue;
    if (keyword == "uniqueItems" && value.is(Type::boolean) && !value.boolean) continue;
    refuse(keyword, "this keyword is not supported", hint_for(keyword));
  }
  read_types();
  read_values();
  read_alternatives("anyOf", part_.has_picked_any_of, false);
  read_alternatives("oneOf", part_.has_picked_one_of, true);
  read_numbers();
  read_texts();
  read_items();
  read_members();
}

void KeywordReader::read_types() {
  const JsonValue* type = find("type");
  if (type == nullptr) return;
  const auto bits_of = [&](const JsonValue& name) {
    const uint8_t bits = name.is(Type::string) ? type_bits(name.text) : uint8_t{0};
    if (bits == 0) refuse("type", "this is no type, nor an array of types");
    return bits;
  };
  uint8_t bits = 0;
  if (type->is(Type::array))
    for (const JsonValue& name : type->items) bits |= bits_of(name);
  else
    bits = bits_of(*type);
  if (const JsonValue* nullable = find("nullable", Type::boolean); nullable && nullable->boolean)
    bits |= TypeSet::kNull;
  merged_.types.bits &= bits;
  merged_.names_types = true;
}

void KeywordReader::read_values() {
  const auto keep = [&](std::vector<const JsonValue*> values) {
    if (merged_.values)
      std::erase_if(values, [&](const JsonValue* value) {
        return std::none_of(merged_.values->begin(), merged_.values->end(),
                            [&](const JsonValue* other) { return are_equal(*value, *other); });
      });
    merged_.values = std::move(values);
  };
  if (const JsonValue* list = find("enum", Type::array)) {
    std::vector<const JsonValue*> values;
    for (const JsonValue& value : list->items) values.push_back(&value);
    keep(std::move(values));
  }
  if (const JsonValue* value = find("const")) keep({value});
}

void KeywordReader::read_alternatives(const char* keyword, bool has_picked, bool is_one_of) {
  const JsonValue* list = find(keyword);
  if (list == nullptr || has_picked) return;
  merged_.alternatives.push_back(
      {.of = part_,
       .is_one_of = is_one_of,
       .schemas = read_schemas(document_, part_.schema, keyword, *list)});
}

void KeywordReader::read_numbers() {
  read_bound("minimum", "exclusiveMinimum", /*is_low=*/true);
  read_bound("maximum", "exclusiveMaximum", /*is_low=*/false);
  if (const JsonValue* step = find("multipleOf", Type::number)) {
    merged_.spoken_of.bits |= TypeSet::kNumber;
    try {
      merged_.numbers.multiples.push_back(multiple_of(number("multipleOf", *step)));
    } catch (const Error& e) {
      refuse("multipleOf", e.message());
    }
  }
}

/// The bound may be exclusive by its own keyword, or, in draft 4, by a boolean beside it.
void KeywordReader::read_bound(const char* keyword, const char* exclusive_keyword, bool is_low) {
  const auto add = [&](NumberRange::Bound bound) {
    merged_.spoken_of.bits |= TypeSet::kNumber;
    if (is_low)
      merged_.numbers.raise_low(std::move(bound));
    else
      merged_.numbers.lower_high(std::move(bound));
  };
  const JsonValue* exclusive = find(exclusive_keyword);
  const bool is_flag = exclusive != nullptr && exclusive->is(Type::boolean);
  if (const JsonValue* bound = find(keyword, Type::number))
    add({.value = number(keyword, *bound), .is_exclusive = is_flag && exclusive->boolean});
  if (exclusive == nullptr || is_flag) return;
  add({.value = number(exclusive_keyword, *find(exclusive_keyword, Type::number)),
       .is_exclusive = true});
}

void KeywordReader::read_texts() {
  read_length("minLength", "maxLength", merged_.text_length, TypeSet::kString);
  if (const JsonValue* pattern = find("pattern", Type::string)) {
    merged_.spoken_of.bits |= TypeSet::kString;
    merged_.texts.push_back(
        {.regex = pattern->text, .pointer = document_.pointer(part_.schema, "pattern")});
  }
  if (const JsonValue* format = find("format", Type::string)) read_format(format->text);
}

/// A format says something of one type only; those of OpenAPI for numbers are known too.
void KeywordReader::read_format(const std::string& format) {
  if (format == "float" || format == "double" || format == "password") return;
  if (format == "int32" || format == "int64") {
    merged_.spoken_of.bits |= TypeSet::kNumber;
    const bool is_short = format == "int32";
    merged_.numbers.raise_low(
        {.value = Decimal::parse(is_short ? "-2147483648" : "-9223372036854775808")});
    merged_.numbers.lower_high(
        {.value = Decimal::parse(is_short ? "2147483647" : "9223372036854775807")});
    return;
  }
  const auto regex = format_pattern(format);
  if (!regex)
    refuse("format", fmt::format("the format \"{}\" is not supported", format),
           fmt::format("supported are {}", known_formats()));
  merged_.spoken_of.bits |= TypeSet::kString;
  merged_.texts.push_back(
      {.regex = *regex, .pointer = document_.pointer(part_.schema, "format"), .is_format = true});
}

void KeywordReader::read_items() {
  read_length("minItems", "maxItems", merged_.num_items, TypeSet::kArray);
  const JsonValue* prefix = find("prefixItems");
  const JsonValue* items = find("items");
  const char* prefix_keyword = "prefixItems";
  const char* rest_keyword = "items";
  if (items != nullptr && items->is(Type::array)) {  // as until draft 2019-09
    prefix = items->items.empty() ? nullptr : items;
    items = find("additionalItems");
    prefix_keyword = "items";
    rest_keyword = "additionalItems";
  }
  if (prefix == nullptr && items == nullptr) return;
  merged_.spoken_of.bits |= TypeSet::kArray;
  MergedSchema::Items own;
  if (prefix != nullptr)
    own.prefix = read_schemas(document_, part_.schema, prefix_keyword, *prefix);
  if (items != nullptr) own.rest = schema_at(rest_keyword, *items);
  merged_.items.push_back(std::move(own));
}

void KeywordReader::read_members() {
  read_length("minProperties", "maxProperties", merged_.num_members, TypeSet::kObject);
  read_required();
  MergedSchema::Members own;
  const JsonValue* properties = find("properties", Type::object);
  const JsonValue* patterns = find("patternProperties", Type::object);
  if (properties != nullptr) {
    const std::string pointer = document_.pointer(part_.schema, "properties");
    for (const auto& [name, schema] : properties->members)
      own.properties.emplace_back(name, document_.id_of(schema, pointer_to(pointer, name)));
  }
  if (patterns != nullptr) {
    const std::string pointer = document_.pointer(part_.schema, "patternProperties");
    for (const auto& [regex, schema] : patterns->members) {
      const std::string place = pointer_to(pointer, regex);
      own.patterns.push_back(
          {.regex = regex, .pointer = place, .schema = document_.id_of(schema, place)});
    }
  }
  const JsonValue* additional = find("additionalProperties");
  const JsonValue* names = find("propertyNames");
  if (additional != nullptr) own.additional = schema_at("additionalProperties", *additional);
  if (names != nullptr) own.names = schema_at("propertyNames", *names);
  if (properties == nullptr && patterns == nullptr && additional == nullptr && names == nullptr)
    return;
  merged_.spoken_of.bits |= TypeSet::kObject;
  merged_.members.push_back(std::move(own));
}

void KeywordReader::read_required() {
  const JsonValue* required = find("required");
  if (required == nullptr || required->is(Type::boolean)) return;  // a boolean in draft 3
  if (!required->is(Type::array)) refuse("required", "this must be an array of names");
  for (const JsonValue& name : required->items) {
    if (!name.is(Type::string)) refuse("required", "this must be an array of names");
    merged_.required.push_back(name.text);
  }
  if (!required->items.empty()) merged_.spoken_of.bits |= TypeSet::kObject;
}

void KeywordReader::read_length(const char* min, const char* max, MergedSchema::Length& length,
                                uint8_t type) {
  const JsonValue* low = find(min);
  const JsonValue* high = find(max);
  if (low != nullptr) length.min = std::max(length.min, count(min, *low, /*is_max=*/false));
  if (high != nullptr) length.max = std::min(length.max, count(max, *high, /*is_max=*/true));
  if (low != nullptr || high != nullptr) merged_.spoken_of.bits |= type;
}

const JsonValue* KeywordReader::find(std::string_view keyword, Type type) const {
  const JsonValue* value = schema_.find(keyword);
  if (value != nullptr && !value->is(type))
    refuse(keyword, fmt::format("this must be {}", name_of(type)));
  return value;
}

SchemaId KeywordReader::schema_at(std::string_view keyword, const JsonValue& value) {
  return document_.id_of(value, document_.pointer(part_.schema, keyword));
}

/// A most that no text reaches is none.
uint32_t KeywordReader::count(std::string_view keyword, const JsonValue& value, bool is_max) const {
  const Decimal wanted = number(keyword, value);
  if (wanted.is_negative || !wanted.is_integer())
    refuse(keyword, fmt::format("{} is no count", value.text));
  if (wanted <= Decimal::parse(std::to_string(kMaxLeastCount)))
    return static_cast<uint32_t>(std::stoul(wanted.whole));
  if (is_max) return kUnbounded;
  refuse(keyword,
         fmt::format("{} is more than the {} that are supported", value.text, kMaxLeastCount));
}

Decimal KeywordReader::number(std::string_view keyword, const JsonValue& value) const {
  if (!value.is(Type::number)) refuse(keyword, "this must be a number");
  try {
    return Decimal::parse(value.text);
  } catch (const Error& e) {
    refuse(keyword, e.message());
  }
}

void KeywordReader::refuse(std::string_view keyword, std::string_view what,
                           std::string hint) const {
  document_.refuse(document_.pointer(part_.schema, keyword), what, std::move(hint));
}

}  // namespace veloz::grammar
