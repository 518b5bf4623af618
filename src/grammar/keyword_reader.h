// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/merged_schema.h"
#include "grammar/schema_document.h"

namespace veloz::grammar {

/// The members of a list of schemas. Throws Error(invalid_input) where it is none, or empty.
std::vector<SchemaId> read_schemas(SchemaDocument& document, SchemaId of, std::string_view keyword,
                                   const JsonValue& list);

/// Adds what the keywords of one schema say to what others said.
class KeywordReader {
 public:
  KeywordReader(SchemaDocument& document, const SchemaPart& part, MergedSchema& merged)
      : document_(document), part_(part), schema_(document.value(part.schema)), merged_(merged) {}

  /// Throws Error(invalid_input) with the keyword's pointer.
  void read();

 private:
  void read_types();
  void read_values();
  void read_alternatives(const char* keyword, bool has_picked, bool is_one_of);
  void read_numbers();
  void read_bound(const char* keyword, const char* exclusive_keyword, bool is_low);
  void read_texts();
  void read_format(const std::string& format);
  void read_items();
  void read_members();
  void read_required();
  void read_length(const char* min, const char* max, MergedSchema::Length& length, uint8_t type);

  const JsonValue* find(std::string_view keyword) const { return schema_.find(keyword); }
  /// Found and of that type, or absent.
  const JsonValue* find(std::string_view keyword, JsonValue::Type type) const;
  SchemaId schema_at(std::string_view keyword, const JsonValue& value);
  uint32_t count(std::string_view keyword, const JsonValue& value, bool is_max) const;
  Decimal number(std::string_view keyword, const JsonValue& value) const;
  [[noreturn]] void refuse(std::string_view keyword, std::string_view what,
                           std::string hint = {}) const;

  SchemaDocument& document_;
  const SchemaPart part_;
  const JsonValue& schema_;
  MergedSchema& merged_;
};

}  // namespace veloz::grammar
