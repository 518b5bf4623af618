// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "grammar/expression.h"
#include "grammar/json_value.h"
#include "grammar/number_range.h"
#include "grammar/schema_document.h"

namespace veloz::grammar {

/// A schema that a value must satisfy; where one of its alternatives was already picked, without
/// those.
struct SchemaPart {
  SchemaId schema{};
  bool is_resolved = false;  // its references and allOf are parts of their own
  bool has_picked_any_of = false;
  bool has_picked_one_of = false;
  // clang-tidy 14 takes the 0 that this compares with for a pointer.
  auto operator<=>(const SchemaPart&) const = default;  // NOLINT(modernize-use-nullptr)
};

/// Schemas that one value must satisfy at once. Sorted, each once: that makes it a key.
using SchemaSet = std::vector<SchemaPart>;

/// Types of values. A number is an integer or has a fraction.
struct TypeSet {
  static constexpr uint8_t kNull = 1, kBoolean = 2, kInteger = 4, kFraction = 8, kString = 16,
                           kArray = 32, kObject = 64, kNumber = kInteger | kFraction, kAll = 127;
  uint8_t bits = kAll;
  bool has(uint8_t types) const { return (bits & types) != 0; }
};

/// What all schemas of a set say together. Each list keeps what one schema says in one entry.
struct MergedSchema {
  struct Length {
    uint32_t min = 0;
    uint32_t max = kUnbounded;
  };
  struct Alternatives {
    SchemaPart of;  // whose keyword it is
    bool is_one_of = false;
    std::vector<SchemaId> schemas;
  };
  struct Text {
    std::string regex;
    std::string pointer;
    bool is_format = false;  // the regex is for the whole text
  };
  struct Items {
    std::vector<SchemaId> prefix;
    std::optional<SchemaId> rest;
  };
  struct Members {
    std::vector<std::pair<std::string, SchemaId>> properties;
    struct Pattern {
      std::string regex;
      std::string pointer;
      SchemaId schema{};
    };
    std::vector<Pattern> patterns;
    std::optional<SchemaId> additional;
    std::optional<SchemaId> names;
  };

  bool is_impossible = false;
  TypeSet types;         // that the schemas allow
  TypeSet spoken_of{0};  // to which some keyword applies; none where no keyword does
  bool names_types = false;
  std::optional<std::vector<const JsonValue*>> values;  // enum, const
  NumberRange numbers;
  Length text_length;
  std::vector<Text> texts;
  Length num_items;
  std::vector<Items> items;
  Length num_members;
  std::vector<Members> members;
  std::vector<std::string> required;
  std::vector<Alternatives> alternatives;

  /// Those that are written: where no schema names types, but keywords speak of some, only these.
  TypeSet written_types() const {
    return names_types || spoken_of.bits == 0
               ? types
               : TypeSet{static_cast<uint8_t>(types.bits & spoken_of.bits)};
  }
};

/// Reads schemas and puts together what they say. References and allOf are followed.
class SchemaMerger {
 public:
  SchemaMerger(SchemaDocument& document, Budget& budget) : document_(document), budget_(budget) {}

  /// The set with references and allOf resolved and without what says nothing.
  SchemaSet resolved(const SchemaSet& set);
  /// Of a resolved set. Throws Error(invalid_input) with the pointer for what is not supported.
  MergedSchema merged(const SchemaSet& set);

 private:
  struct Resolution {
    std::vector<SchemaId> path;  // from the schema asked for to the one at hand
    std::set<SchemaPart> seen;
    SchemaSet parts;
  };
  void resolve(const SchemaPart& part, Resolution& resolution);
  void refuse_embedded(SchemaId schema);

  SchemaDocument& document_;
  Budget& budget_;
};

}  // namespace veloz::grammar
