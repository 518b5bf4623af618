// SPDX-License-Identifier: Apache-2.0
#include "grammar/property_patterns.h"

#include <algorithm>
#include <utility>

#include "grammar/characters.h"
#include "grammar/dfa_shape.h"
#include "grammar/schema_compiler.h"
#include "grammar/schema_strings.h"

namespace veloz::grammar {
namespace {

const Dfa& names_of(SchemaCompiler& compiler, const MergedSchema::Members::Pattern& pattern) {
  return compiler.strings_matching(pattern.regex, RegexMatch::anywhere, pattern.pointer);
}

}  // namespace

bool matches_name(SchemaCompiler& compiler, const MergedSchema::Members::Pattern& pattern,
                  const std::string& name) {
  return names_of(compiler, pattern).accepts(json_spelling(name));
}

PropertyPatterns::PropertyPatterns(SchemaCompiler& compiler, const MergedSchema& merged)
    : compiler_(compiler), merged_(merged) {
  bool has_declared = false;
  SchemaSet names;
  for (const MergedSchema::Members& members : merged.members) {
    has_declared |= !members.properties.empty();
    has_additional_ |= members.additional.has_value();
    if (members.names) names.push_back({.schema = *members.names});
    for (const MergedSchema::Members::Pattern& pattern : members.patterns) {
      has_patterns_ = true;
      const auto is_same = [&](const Pattern& known) { return known.regex == pattern.regex; };
      if (std::none_of(patterns_.begin(), patterns_.end(), is_same))
        patterns_.push_back({pattern.regex, names_of(compiler, pattern)});
    }
  }
  has_additional_ |= !has_declared && !has_patterns_;
  // A name must be a string even where "propertyNames" says nothing of types.
  if (!names.empty()) allowed_ = allowed_strings(compiler, compiler.merged(names));
}

bool PropertyPatterns::allows_name(const std::string& name) const {
  return !allowed_ || allowed_->accepts(json_spelling(name));
}

ExpressionId PropertyPatterns::other_members(const std::vector<std::string>& declared) {
  Expressions& e = compiler_.expressions();
  Budget& budget = compiler_.builder().budget();
  if (!has_others()) return e.nothing();
  if (patterns_.empty() && declared.empty() && !allowed_)
    return member(e.call(compiler_.json().string()), nullptr);
  const auto quoted = [&](Dfa names) {
    return e.sequence({e.literal("\""), e.dfa(std::move(names)), e.literal("\"")});
  };
  const Dfa undeclared = undeclared_names(declared);
  std::vector<ExpressionId> ways;
  for (const Pattern& own : patterns_) {
    Dfa names = combine(undeclared, own.names, Combination::both, budget);
    for (const Pattern& other : patterns_)
      if (&other != &own) names = combine(names, other.names, Combination::first_only, budget);
    ways.push_back(member(quoted(std::move(names)), &own.regex));
  }
  if (has_additional_) {
    Dfa names = undeclared;
    for (const Pattern& pattern : patterns_)
      names = combine(names, pattern.names, Combination::first_only, budget);
    ways.push_back(member(quoted(std::move(names)), nullptr));
  }
  return e.choice(std::move(ways));
}

/// A member whose name matches that pattern only, or none.
ExpressionId PropertyPatterns::member(ExpressionId name, const std::string* regex) {
  SchemaSet set;
  for (const MergedSchema::Members& members : merged_.members) {
    const size_t before = set.size();
    for (const MergedSchema::Members::Pattern& pattern : members.patterns)
      if (regex != nullptr && pattern.regex == *regex) set.push_back({.schema = pattern.schema});
    if (set.size() == before && members.additional) set.push_back({.schema = *members.additional});
  }
  Expressions& e = compiler_.expressions();
  return e.sequence({name, compiler_.json().colon(), e.call(compiler_.rule_for(set))});
}

Dfa PropertyPatterns::undeclared_names(const std::vector<std::string>& declared) {
  Expressions& e = compiler_.expressions();
  GrammarBuilder& builder = compiler_.builder();
  Dfa names = allowed_ ? *allowed_
                       : builder.dfa_of(e.repeat(
                             one_of(e, CodePointSet::all(), Spelling::json_string), 0, kUnbounded));
  if (declared.empty()) return names;
  std::vector<ExpressionId> literals;
  literals.reserve(declared.size());
  for (const std::string& name : declared) literals.push_back(e.literal(json_spelling(name)));
  return combine(names, builder.dfa_of(e.choice(std::move(literals))), Combination::first_only,
                 builder.budget());
}

}  // namespace veloz::grammar
