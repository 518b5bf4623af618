// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/budget.h"
#include "grammar/json_value.h"

namespace veloz::grammar {

enum class SchemaId : uint32_t {};

/// A JSON Schema and the schemas within it, each met by its place.
class SchemaDocument {
 public:
  /// Throws Error(invalid_input).
  SchemaDocument(std::string_view text, Budget& budget);

  SchemaId root() { return id_of(root_, ""); }
  /// Of a value inside the document. Throws where it is neither object nor boolean.
  SchemaId id_of(const JsonValue& value, std::string pointer);
  /// What "$ref" names.
  SchemaId resolve(SchemaId from, const JsonValue& reference);

  const JsonValue& value(SchemaId id) const { return *schemas_[index(id)].value; }
  /// Of the schema, or of a keyword in it.
  const std::string& pointer(SchemaId id) const { return schemas_[index(id)].pointer; }
  std::string pointer(SchemaId id, std::string_view keyword) const;

  [[noreturn]] void refuse(const std::string& pointer, std::string_view what,
                           std::string hint = {}) const;

 private:
  struct Schema {
    const JsonValue* value = nullptr;
    std::string pointer;
  };
  static size_t index(SchemaId id) { return static_cast<size_t>(id); }

  Budget& budget_;
  JsonValue root_;
  std::vector<Schema> schemas_;
  std::map<const JsonValue*, SchemaId> ids_;
};

}  // namespace veloz::grammar
