// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_compiler.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "grammar/schema_arrays.h"
#include "grammar/schema_disjoint.h"
#include "grammar/schema_objects.h"
#include "grammar/schema_strings.h"
#include "grammar/schema_values.h"

namespace veloz::grammar {

SchemaCompiler::SchemaCompiler(std::string_view schema, const CompileLimits& limits)
    : builder_(limits),
      document_(schema, builder_.budget()),
      merger_(document_, builder_.budget()),
      json_(builder_) {}

GrammarPtr SchemaCompiler::compile() {
  const RuleId root = rule_for({{.schema = document_.root()}});
  while (!open_.empty()) {
    const Open next = std::move(open_.back());
    open_.pop_back();
    define(next);
  }
  return builder_.finish(root);
}

MergedSchema SchemaCompiler::merged(const SchemaSet& set) {
  return merger_.merged(merger_.resolved(set));
}

ExpressionId SchemaCompiler::regex(const std::string& pattern, RegexMatch match,
                                   const std::string& pointer) {
  try {
    return regex_expression(builder_, pattern, match, Spelling::json_string);
  } catch (Error& e) {
    e.add_context("\"" + pointer + "\"");
    throw;
  }
}

const Dfa& SchemaCompiler::strings_matching(const std::string& pattern, RegexMatch match,
                                            const std::string& pointer) {
  const auto known = strings_matching_.find({pattern, match});
  if (known != strings_matching_.end()) return known->second;
  Dfa dfa = builder_.dfa_of(regex(pattern, match, pointer));
  builder_.budget().add_memory(dfa.num_bytes());
  return strings_matching_.emplace(std::pair(pattern, match), std::move(dfa)).first->second;
}

RuleId SchemaCompiler::rule_for(const SchemaSet& set) {
  SchemaSet resolved = merger_.resolved(set);
  if (const auto known = rules_.find(resolved); known != rules_.end()) return known->second;
  MergedSchema all = merger_.merged(resolved);
  const auto plain = plain_rule(all);
  const RuleId rule = plain ? *plain : builder_.declare();
  builder_.budget().add_memory(sizeof(Open) + resolved.size() * sizeof(SchemaPart));
  rules_.emplace(resolved, rule);
  if (!plain) open_.push_back({rule, std::move(resolved), std::move(all)});
  return rule;
}

/// For schemas that say no more than a type, a rule of JSON itself.
std::optional<RuleId> SchemaCompiler::plain_rule(const MergedSchema& merged) {
  if (merged.is_impossible || merged.values || merged.spoken_of.bits != 0 ||
      !merged.alternatives.empty())
    return std::nullopt;
  switch (merged.types.bits) {
    case TypeSet::kAll:
      return json_.value();
    case TypeSet::kObject:
      return json_.object();
    case TypeSet::kArray:
      return json_.array();
    case TypeSet::kString:
      return json_.string();
    case TypeSet::kNumber:
      return json_.number();
    case TypeSet::kInteger:
      return json_.integer();
    default:
      return std::nullopt;
  }
}

void SchemaCompiler::define(const Open& open) {
  const MergedSchema& merged = open.merged;
  if (merged.is_impossible) return builder_.define(open.rule, expressions().nothing());
  if (!merged.alternatives.empty())
    return builder_.define(open.rule, write_alternatives(open.set, merged));
  if (merged.values) return builder_.define(open.rule, write_values(merged));
  const TypeSet types = merged.written_types();
  if (types.bits == TypeSet::kObject)
    return builder_.define(open.rule, write_object(*this, merged));
  if (types.bits == TypeSet::kArray) return builder_.define(open.rule, write_array(*this, merged));
  std::vector<ExpressionId> ways;
  if (types.has(TypeSet::kObject)) ways.push_back(call_of(write_object(*this, merged)));
  if (types.has(TypeSet::kArray)) ways.push_back(call_of(write_array(*this, merged)));
  if (types.has(TypeSet::kString)) ways.push_back(write_string(*this, merged));
  if (types.has(TypeSet::kNumber)) ways.push_back(write_number(merged));
  if (types.has(TypeSet::kBoolean)) ways.push_back(json_.boolean());
  if (types.has(TypeSet::kNull)) ways.push_back(json_.null());
  builder_.define(open.rule,
                  ways.empty() ? expressions().nothing() : expressions().choice(std::move(ways)));
}

ExpressionId SchemaCompiler::call_of(RuleGraph graph) {
  const RuleId rule = builder_.declare();
  builder_.define(rule, std::move(graph));
  return expressions().call(rule);
}

/// Of the first keyword that offers some; the rest follows with the rules it calls.
ExpressionId SchemaCompiler::write_alternatives(const SchemaSet& set, const MergedSchema& merged) {
  const MergedSchema::Alternatives& offered = merged.alternatives.front();
  SchemaSet rest = set;
  const auto own = std::find(rest.begin(), rest.end(), offered.of);
  VELOZ_CHECK(own != rest.end(), "alternatives of a schema that is not in the set");
  (offered.is_one_of ? own->has_picked_one_of : own->has_picked_any_of) = true;
  std::vector<SchemaSet> sets;
  for (const SchemaId alternative : offered.schemas) {
    sets.push_back(rest);
    sets.back().push_back({.schema = alternative});
  }
  if (offered.is_one_of)
    require_disjoint(*this, sets, document_.pointer(offered.of.schema, "oneOf"));
  std::vector<ExpressionId> ways;
  ways.reserve(sets.size());
  for (const SchemaSet& one : sets) ways.push_back(expressions().call(rule_for(one)));
  return expressions().choice(std::move(ways));
}

ExpressionId SchemaCompiler::write_values(const MergedSchema& merged) {
  std::vector<ExpressionId> ways;
  for (const JsonValue* value : *merged.values) {
    builder_.budget().tick();
    if (satisfies(*this, *value, merged)) ways.push_back(write_value(*this, *value));
  }
  return ways.empty() ? expressions().nothing() : expressions().choice(std::move(ways));
}

ExpressionId SchemaCompiler::write_number(const MergedSchema& merged) {
  NumberRange range = merged.numbers;
  range.is_integer = !merged.types.has(TypeSet::kFraction);
  if (range.is_free())
    return expressions().call(range.is_integer ? json_.integer() : json_.number());
  return expressions().dfa(spellings_of(range, builder_.budget()));
}

GrammarPtr compile_json_schema(std::string_view schema, const CompileLimits& limits) {
  return SchemaCompiler(schema, limits).compile();
}

}  // namespace veloz::grammar
