// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_objects.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "grammar/characters.h"
#include "grammar/property_patterns.h"
#include "grammar/schema_compiler.h"
#include "grammar/schema_strings.h"

namespace veloz::grammar {
namespace {

struct Property {
  std::string name;
  bool is_required = false;
};

/// Names in the order in which they are declared, then those that are only required.
std::vector<Property> declared_properties(const MergedSchema& merged) {
  std::vector<Property> properties;
  std::set<std::string> seen;
  const std::set<std::string> required(merged.required.begin(), merged.required.end());
  const auto add = [&](const std::string& name) {
    if (seen.insert(name).second) properties.push_back({name, required.contains(name)});
  };
  for (const MergedSchema::Members& members : merged.members)
    for (const auto& [name, schema] : members.properties) add(name);
  for (const std::string& name : merged.required) add(name);
  return properties;
}

class ObjectWriter {
 public:
  ObjectWriter(SchemaCompiler& compiler, const MergedSchema& merged)
      : compiler_(compiler),
        e_(compiler.expressions()),
        merged_(merged),
        patterns_(compiler, merged),
        properties_(declared_properties(merged)) {}

  /// State (i, n) is at property i with n members written, as far as their number matters.
  RuleGraph write() {
    forbid_refused_names();
    count_what_matters();
    const ExpressionId others = patterns_.other_members(names());
    const size_t num_rows = properties_.size() + 1;
    compiler_.builder().budget().check_states_at_once(
        static_cast<int64_t>(num_rows * (max_count_ + size_t{1})));
    states_.assign(num_rows, std::vector<std::optional<uint32_t>>(max_count_ + size_t{1}));
    closing_ = graph_.add_state();
    graph_.end = graph_.add_state();
    add(0, e_.sequence({e_.literal("{"), compiler_.json().gap()}), state(0, 0));
    add(closing_, e_.sequence({compiler_.json().gap(), e_.literal("}")}), graph_.end);
    for (size_t i = 0; i < properties_.size(); ++i) write_property(i);
    for (uint32_t count = 0; count <= max_count_; ++count)
      if (states_.back()[count]) write_end(*states_.back()[count], count, others);
    return std::move(graph_);
  }

 private:
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const Property& property : properties_) result.push_back(property.name);
    return result;
  }

  /// propertyNames applies to the declared ones too.
  void forbid_refused_names() {
    std::erase_if(properties_, [&](const Property& property) {
      if (patterns_.allows_name(property.name)) return false;
      has_impossible_property_ |= property.is_required;
      return true;
    });
  }

  /// Bounds that hold anyway need no counting; then all that matters is whether a comma is due.
  void count_what_matters() {
    min_ = merged_.num_members.min;
    max_ = merged_.num_members.max;
    const auto num_required = static_cast<size_t>(
        std::count_if(properties_.begin(), properties_.end(),
                      [](const Property& property) { return property.is_required; }));
    if (min_ <= num_required) min_ = 0;
    if (!patterns_.has_others() && max_ >= properties_.size()) max_ = kUnbounded;
    max_count_ = std::max<uint32_t>(min_, 1);
    if (max_ != kUnbounded)
      max_count_ = std::max(max_count_,
                            static_cast<uint32_t>(std::min<size_t>(max_, properties_.size() + 1)));
  }

  void write_property(size_t i) {
    const Property& property = properties_[i];
    const ExpressionId member = e_.sequence(
        {e_.literal("\"" + json_spelling(property.name) + "\""), compiler_.json().colon(),
         e_.call(compiler_.rule_for(property_set(compiler_, merged_, property.name)))});
    const ExpressionId next_member = after_comma(member);
    for (uint32_t count = 0; count <= max_count_; ++count) {
      if (!states_[i][count]) continue;
      const uint32_t from = *states_[i][count];
      compiler_.builder().budget().tick();
      if (count < max_)
        add(from, count == 0 ? member : next_member, state(i + 1, std::min(count + 1, max_count_)));
      if (!property.is_required) add(from, e_.literal(""), state(i + 1, count));
    }
  }

  /// Others come last. One name may come twice among them, so that only the first of them is sure
  /// to be one member more.
  void write_end(uint32_t from, uint32_t count, ExpressionId others) {
    if (has_impossible_property_) return;
    if (count >= min_) {
      if (count == 0)
        add(from, e_.literal("}"), graph_.end);
      else
        add(from, e_.literal(""), closing_);
    }
    if (!patterns_.has_others() || count >= max_ || count + 1 < min_) return;
    const uint32_t most = max_ == kUnbounded ? kUnbounded : max_ - count - 1;
    add(from,
        e_.sequence(
            {count == 0 ? others : after_comma(others), e_.repeat(after_comma(others), 0, most)}),
        closing_);
  }

  ExpressionId after_comma(ExpressionId member) {
    return e_.sequence({e_.literal(","), compiler_.json().gap(), member});
  }

  uint32_t state(size_t row, uint32_t count) {
    std::optional<uint32_t>& known = states_[row][count];
    if (!known) known = graph_.add_state();
    return *known;
  }

  void add(uint32_t from, ExpressionId on, uint32_t to) { graph_.edges.push_back({from, on, to}); }

  SchemaCompiler& compiler_;
  Expressions& e_;
  const MergedSchema& merged_;
  PropertyPatterns patterns_;
  std::vector<Property> properties_;
  bool has_impossible_property_ = false;
  uint32_t min_ = 0;
  uint32_t max_ = kUnbounded;
  uint32_t max_count_ = 1;  // higher counts are not told apart
  RuleGraph graph_;
  uint32_t closing_ = 0;
  std::vector<std::vector<std::optional<uint32_t>>> states_;
};

}  // namespace

RuleGraph write_object(SchemaCompiler& compiler, const MergedSchema& merged) {
  return ObjectWriter(compiler, merged).write();
}

SchemaSet property_set(SchemaCompiler& compiler, const MergedSchema& merged,
                       const std::string& name) {
  SchemaSet set;
  for (const MergedSchema::Members& members : merged.members) {
    const size_t before = set.size();
    for (const auto& [declared, schema] : members.properties)
      if (declared == name) set.push_back({.schema = schema});
    for (const MergedSchema::Members::Pattern& pattern : members.patterns)
      if (matches_name(compiler, pattern, name)) set.push_back({.schema = pattern.schema});
    if (set.size() == before && members.additional) set.push_back({.schema = *members.additional});
  }
  return set;
}

}  // namespace veloz::grammar
