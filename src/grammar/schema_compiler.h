// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/grammar_builder.h"
#include "grammar/json_rules.h"
#include "grammar/merged_schema.h"
#include "grammar/regex.h"
#include "grammar/schema_document.h"

namespace veloz::grammar {

/// Writes the rules of a JSON Schema: one per set of schemas that a value must satisfy at once.
/// All texts of a rule satisfy its schemas; some that do are left out (docs/structured-output.md).
class SchemaCompiler {
 public:
  SchemaCompiler(std::string_view schema, const CompileLimits& limits);

  GrammarPtr compile();

  GrammarBuilder& builder() { return builder_; }
  Expressions& expressions() { return builder_.expressions(); }
  JsonRules& json() { return json_; }
  SchemaDocument& document() { return document_; }

  /// Of the values that satisfy all of them; defined sooner or later.
  RuleId rule_for(const SchemaSet& set);
  MergedSchema merged(const SchemaSet& set);

  /// Inside a JSON string, spelled as by `json_spelling`. Errors name the pointer.
  ExpressionId regex(const std::string& pattern, RegexMatch match, const std::string& pointer);
  /// The same as an automaton, made once for each pattern.
  const Dfa& strings_matching(const std::string& pattern, RegexMatch match,
                              const std::string& pointer);

 private:
  struct Open {
    RuleId rule{};
    SchemaSet set;
    MergedSchema merged;
  };
  std::optional<RuleId> plain_rule(const MergedSchema& merged);
  void define(const Open& open);
  ExpressionId call_of(RuleGraph graph);
  ExpressionId write_alternatives(const SchemaSet& set, const MergedSchema& merged);
  ExpressionId write_values(const MergedSchema& merged);
  ExpressionId write_number(const MergedSchema& merged);

  GrammarBuilder builder_;
  SchemaDocument document_;
  SchemaMerger merger_;
  JsonRules json_;
  std::map<SchemaSet, RuleId> rules_;
  std::vector<Open> open_;
  std::map<std::pair<std::string, RegexMatch>, Dfa> strings_matching_;
};

}  // namespace veloz::grammar
