// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace veloz::grammar::test {

/// Writes schemas of all supported keywords, most of them satisfiable.
class RandomSchema {
 public:
  using json = nlohmann::ordered_json;

  explicit RandomSchema(uint32_t seed) : random_(seed) {}

  json document() {
    json root = schema(3);
    root["$defs"] = {{"leaf", scalar()},
                     {"tree",
                      {{"type", "object"},
                       {"properties", {{"v", scalar()}, {"t", {{"$ref", "#/$defs/tree"}}}}},
                       {"required", {"v"}}}}};
    return root;
  }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  bool chance(int percent) { return below(100) < percent; }

  json schema(int depth) {
    if (depth == 0) return scalar();
    switch (below(8)) {
      case 0:
        return array(depth);
      case 1:
      case 2:
        return object(depth);
      case 3:
        return {{"anyOf", {schema(depth - 1), schema(depth - 1)}}};
      case 4:
        return {{"allOf", {object(depth - 1), object(depth - 1)}}};
      case 5:
        return {{"$ref", chance(50) ? "#/$defs/tree" : "#/$defs/leaf"}};
      case 6:
        return {{"type", "object"},
                {"properties", {{"a", scalar()}, {"b", scalar()}}},
                {"anyOf", {{{"required", {"a"}}}, {{"required", {"b"}}}}}};
      default:
        return scalar();
    }
  }

  json scalar() {
    switch (below(7)) {
      case 0:
        return {{"type", {"integer", "null"}}};
      case 1:
        return number("integer", 1);
      case 2:
        return number("number", 4);
      case 3:
        return {{"enum", {1, "two", nullptr, {1, {{"x", "y"}}}, "\"\\\n"}}};
      case 4:
        return {{"type", "boolean"}};
      default:
        return string();
    }
  }

  json number(const char* type, int denominator) {
    json result = {{"type", type}};
    const double low = (below(400) - 200) / static_cast<double>(denominator);
    if (chance(60)) result[chance(50) ? "minimum" : "exclusiveMinimum"] = low;
    if (chance(60)) result[chance(50) ? "maximum" : "exclusiveMaximum"] = low + 2 + below(300);
    const double steps[] = {0.25, 0.5, 1, 3};
    if (chance(30)) result["multipleOf"] = steps[below(4)];
    return result;
  }

  json string() {
    json result = {{"type", "string"}};
    const int min = below(4);
    if (chance(40)) result["minLength"] = min;
    if (chance(40)) result["maxLength"] = min + below(30);
    const char* patterns[] = {"^[a-z]+$", "ab", "^x|y$", "^[A-Z]{1,9}-\\d*$", "\"", "[^a-z]"};
    if (chance(40)) result["pattern"] = patterns[below(6)];
    return result;
  }

  json array(int depth) {
    json result = {{"type", "array"}};
    const int min = below(3);
    if (chance(50)) result["minItems"] = min;
    if (chance(50)) result["maxItems"] = min + below(4);
    if (chance(70)) result["items"] = schema(depth - 1);
    if (chance(30)) result["prefixItems"] = {schema(depth - 1), schema(depth - 1)};
    return result;
  }

  json object(int depth) {
    json result = {{"type", "object"}};
    const std::vector<std::string> names = {"a", "ab", "name", "x\"y", "é"};
    json required = json::array();
    for (const std::string& name : names) {
      if (chance(50)) result["properties"][name] = schema(std::max(depth - 1, 0));
      if (chance(25)) required.push_back(name);
    }
    if (!required.empty()) result["required"] = required;
    if (chance(30)) result["additionalProperties"] = chance(50) ? json(false) : scalar();
    if (chance(20)) result["patternProperties"] = {{"^n", scalar()}, {"x", scalar()}};
    if (chance(15)) result["propertyNames"] = {{"maxLength", 6}};
    if (chance(20)) result["minProperties"] = below(3);
    if (chance(20)) result["maxProperties"] = 2 + below(3);
    return result;
  }

  std::mt19937 random_;
};

}  // namespace veloz::grammar::test
