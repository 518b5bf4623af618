// SPDX-License-Identifier: Apache-2.0
#include "grammar/rule_facts.h"

#include <algorithm>

namespace veloz::grammar {
namespace {

/// Whether edges for which `holds` lead from the graph's start to its end.
template <typename Holds>
bool leads_to_end(const RuleGraph& graph, const Holds& holds) {
  std::vector<uint8_t> is_reached(graph.num_states, 0);
  is_reached[0] = 1;
  bool is_new = true;
  while (is_new && is_reached[graph.end] == 0) {
    is_new = false;
    for (const RuleGraph::Edge& edge : graph.edges) {
      if (is_reached[edge.from] == 0 || is_reached[edge.to] != 0 || !holds(edge.on)) continue;
      is_reached[edge.to] = 1;
      is_new = true;
    }
  }
  return is_reached[graph.end] != 0;
}

}  // namespace

RuleFacts::RuleFacts(const Expressions& expressions,
                     std::span<const std::optional<RuleGraph>> bodies, Budget& budget)
    : expressions_(expressions), may_be_empty_(bodies.size(), 0), has_text_(bodies.size(), 0) {
  bool is_new = true;
  const auto learn = [&](std::vector<uint8_t>& facts, size_t rule, const auto& holds) {
    if (facts[rule] != 0 || !leads_to_end(*bodies[rule], holds)) return;
    facts[rule] = 1;
    is_new = true;
  };
  while (is_new) {
    is_new = false;
    // Backwards, because rules mostly stand before those they call.
    for (size_t rule = bodies.size(); rule-- > 0;) {
      budget.tick();
      if (!bodies[rule]) continue;
      learn(may_be_empty_, rule, [this](ExpressionId id) { return may_be_empty(id); });
      learn(has_text_, rule, [this](ExpressionId id) { return has_text(id); });
    }
  }
}

bool RuleFacts::may_be_empty(ExpressionId id) const {
  const Expression& expression = expressions_[id];
  const auto part_may = [this](ExpressionId part) { return may_be_empty(part); };
  const auto& parts = expression.parts;
  switch (expression.kind) {
    case Expression::Kind::nothing:
    case Expression::Kind::characters:
      return false;
    case Expression::Kind::literal:
      return expression.text.empty();
    case Expression::Kind::sequence:
      return std::all_of(parts.begin(), parts.end(), part_may);
    case Expression::Kind::choice:
      return std::any_of(parts.begin(), parts.end(), part_may);
    case Expression::Kind::repeat:
      return expression.min == 0 || may_be_empty(parts.front());
    case Expression::Kind::call:
      return may_be_empty(expression.rule);
    case Expression::Kind::dfa:
      return expression.dfa->num_states() > 0 &&
             expression.dfa->is_final[expression.dfa->start] != 0;
  }
  return false;
}

bool RuleFacts::has_text(ExpressionId id) const {
  const Expression& expression = expressions_[id];
  const auto part_has = [this](ExpressionId part) { return has_text(part); };
  const auto& parts = expression.parts;
  switch (expression.kind) {
    case Expression::Kind::nothing:
      return false;
    case Expression::Kind::literal:
      return true;
    case Expression::Kind::characters:
      return !expression.characters.empty();
    case Expression::Kind::sequence:
      return std::all_of(parts.begin(), parts.end(), part_has);
    case Expression::Kind::choice:
      return std::any_of(parts.begin(), parts.end(), part_has);
    case Expression::Kind::repeat:
      return expression.min == 0 || has_text(parts.front());
    case Expression::Kind::call:
      return has_text(expression.rule);
    case Expression::Kind::dfa:
      return expression.dfa->num_states() > 0;
  }
  return false;
}

}  // namespace veloz::grammar
