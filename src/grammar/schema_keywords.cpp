// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_keywords.h"

#include <algorithm>

namespace veloz::grammar {
namespace {

constexpr std::string_view kFollowed[] = {"$ref", "allOf"};

constexpr std::string_view kUnderstood[] = {
    "type",          "nullable",      "enum",
    "const",         "anyOf",         "oneOf",
    "minimum",       "maximum",       "exclusiveMinimum",
    "multipleOf",    "pattern",       "exclusiveMaximum",
    "format",        "minLength",     "maxLength",
    "items",         "prefixItems",   "additionalItems",
    "minItems",      "maxItems",      "properties",
    "required",      "propertyNames", "patternProperties",
    "minProperties", "maxProperties", "additionalProperties",
};

constexpr std::string_view kRefused[] = {
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
};

template <size_t N>
bool is_among(std::string_view keyword, const std::string_view (&list)[N]) {
  return std::find(std::begin(list), std::end(list), keyword) != std::end(list);
}

}  // namespace

KeywordUse use_of(std::string_view keyword) {
  if (is_among(keyword, kUnderstood)) return KeywordUse::understood;
  if (is_among(keyword, kFollowed)) return KeywordUse::followed;
  if (is_among(keyword, kRefused)) return KeywordUse::refused;
  return KeywordUse::ignored;
}

}  // namespace veloz::grammar
