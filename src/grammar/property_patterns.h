// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "grammar/dfa.h"
#include "grammar/expression.h"
#include "grammar/merged_schema.h"

namespace veloz::grammar {

class SchemaCompiler;

/// Whether the name matches the pattern of "patternProperties".
bool matches_name(SchemaCompiler& compiler, const MergedSchema::Members::Pattern& pattern,
                  const std::string& name);

/// The members of an object that no "properties" declares.
class PropertyPatterns {
 public:
  PropertyPatterns(SchemaCompiler& compiler, const MergedSchema& merged);

  /// Whether there can be any.
  bool has_others() const { return has_patterns_ || has_additional_; }
  /// Whether "propertyNames" lets a property have that name.
  bool allows_name(const std::string& name) const;
  /// One of them, its name none of these. A name that matches two patterns is not written.
  ExpressionId other_members(const std::vector<std::string>& declared);

 private:
  struct Pattern {
    std::string regex;
    Dfa names;
  };
  ExpressionId member(ExpressionId name, const std::string* regex);
  Dfa undeclared_names(const std::vector<std::string>& declared);

  SchemaCompiler& compiler_;
  const MergedSchema& merged_;
  std::vector<Pattern> patterns_;  // each regex once
  std::optional<Dfa> allowed_;     // by "propertyNames"
  bool has_patterns_ = false;
  bool has_additional_ = false;
};

}  // namespace veloz::grammar
