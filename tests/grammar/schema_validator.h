// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "text/regex.h"

namespace veloz::grammar::test {

/// A plain validator of the part of JSON Schema that random_schema.h writes, made independently of
/// the compiler: keyword by keyword, as the specification has them.
class SchemaValidator {
 public:
  using json = nlohmann::json;

  explicit SchemaValidator(const json& root) : root_(root) {}

  bool is_valid(const json& value) const { return is_valid(value, root_); }

 private:
  bool is_valid(const json& value, const json& schema) const {
    if (schema.is_boolean()) return schema.get<bool>();
    for (const auto& [keyword, wanted] : schema.items())
      if (!satisfies(value, keyword, wanted, schema)) return false;
    return true;
  }

  bool satisfies(const json& value, const std::string& keyword, const json& wanted,
                 const json& schema) const {
    const auto all = [&](const json& schemas) {
      return std::all_of(schemas.begin(), schemas.end(),
                         [&](const json& one) { return is_valid(value, one); });
    };
    const auto count = [&](const json& schemas) {
      return std::count_if(schemas.begin(), schemas.end(),
                           [&](const json& one) { return is_valid(value, one); });
    };
    if (keyword == "$ref")
      return is_valid(value, root_.at(json::json_pointer(wanted.get<std::string>().substr(1))));
    if (keyword == "type") {
      if (wanted.is_string()) return has_type(value, wanted);
      return std::any_of(wanted.begin(), wanted.end(),
                         [&](const json& type) { return has_type(value, type); });
    }
    if (keyword == "enum") return std::find(wanted.begin(), wanted.end(), value) != wanted.end();
    if (keyword == "const") return value == wanted;
    if (keyword == "anyOf") return count(wanted) > 0;
    if (keyword == "oneOf") return count(wanted) == 1;
    if (keyword == "allOf") return all(wanted);
    if (value.is_number()) return number_satisfies(value.get<double>(), keyword, wanted);
    if (value.is_string()) return string_satisfies(value, keyword, wanted);
    if (value.is_array()) return array_satisfies(value, keyword, wanted, schema);
    if (value.is_object()) return object_satisfies(value, keyword, wanted, schema);
    return true;
  }

  static bool holds(const std::string& text, const std::string& pattern) {
    return !text::Regex(pattern).find_all(text).empty();
  }

  static bool has_type(const json& value, const std::string& type) {
    if (type == "null") return value.is_null();
    if (type == "boolean") return value.is_boolean();
    if (type == "string") return value.is_string();
    if (type == "array") return value.is_array();
    if (type == "object") return value.is_object();
    if (type == "number") return value.is_number();
    return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
  }

  static bool number_satisfies(double value, const std::string& keyword, const json& wanted) {
    if (keyword == "minimum") return value >= wanted.get<double>();
    if (keyword == "maximum") return value <= wanted.get<double>();
    if (keyword == "exclusiveMinimum") return value > wanted.get<double>();
    if (keyword == "exclusiveMaximum") return value < wanted.get<double>();
    if (keyword != "multipleOf") return true;
    const double times = value / wanted.get<double>();
    return std::abs(times - std::round(times)) <= 1e-9 * std::max(1.0, std::abs(times));
  }

  static bool string_satisfies(const std::string& value, const std::string& keyword,
                               const json& wanted) {
    const auto length = static_cast<size_t>(std::count_if(value.begin(), value.end(), [](char c) {
      return (static_cast<uint8_t>(c) & 0xc0) != 0x80;
    }));
    if (keyword == "minLength") return length >= wanted.get<size_t>();
    if (keyword == "maxLength") return length <= wanted.get<size_t>();
    if (keyword == "pattern") return holds(value, wanted);
    return true;
  }

  bool array_satisfies(const json& value, const std::string& keyword, const json& wanted,
                       const json& schema) const {
    if (keyword == "minItems") return value.size() >= wanted.get<size_t>();
    if (keyword == "maxItems") return value.size() <= wanted.get<size_t>();
    const size_t num_prefix = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
    for (size_t i = 0; i < value.size(); ++i) {
      if (keyword == "prefixItems" && i < num_prefix && !is_valid(value[i], wanted[i]))
        return false;
      if (keyword == "items" && i >= num_prefix && !is_valid(value[i], wanted)) return false;
    }
    return true;
  }

  bool object_satisfies(const json& value, const std::string& keyword, const json& wanted,
                        const json& schema) const {
    if (keyword == "minProperties") return value.size() >= wanted.get<size_t>();
    if (keyword == "maxProperties") return value.size() <= wanted.get<size_t>();
    if (keyword == "required")
      return std::all_of(wanted.begin(), wanted.end(),
                         [&](const json& name) { return value.contains(name.get<std::string>()); });
    for (const auto& [name, member] : value.items()) {
      const bool is_declared = schema.contains("properties") && schema["properties"].contains(name);
      bool has_pattern = false;
      if (schema.contains("patternProperties"))
        for (const auto& [pattern, one] : schema["patternProperties"].items()) {
          if (!holds(name, pattern)) continue;
          has_pattern = true;
          if (keyword == "patternProperties" && !is_valid(member, one)) return false;
        }
      if (keyword == "properties" && is_declared && !is_valid(member, wanted[name])) return false;
      if (keyword == "additionalProperties" && !is_declared && !has_pattern &&
          !is_valid(member, wanted))
        return false;
      if (keyword == "propertyNames" && !is_valid(json(name), wanted)) return false;
    }
    return true;
  }

  json root_;
};

}  // namespace veloz::grammar::test
