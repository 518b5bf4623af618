// SPDX-License-Identifier: Apache-2.0
#include "grammar/grammar_builder.h"

#include <utility>

#include "grammar/lowering.h"
#include "grammar/program.h"

namespace veloz::grammar {

RuleId GrammarBuilder::declare() {
  budget_.tick();
  budget_.add_memory(sizeof(bodies_[0]));
  bodies_.emplace_back();
  return RuleId{static_cast<uint32_t>(bodies_.size() - 1)};
}

void GrammarBuilder::define(RuleId rule, ExpressionId body) {
  RuleGraph graph;
  graph.end = graph.add_state();
  graph.edges.push_back({0, body, graph.end});
  define(rule, std::move(graph));
}

void GrammarBuilder::define(RuleId rule, RuleGraph body) {
  budget_.add_memory(body.edges.size() * sizeof(RuleGraph::Edge));
  bodies_[static_cast<size_t>(rule)] = std::move(body);
}

Dfa GrammarBuilder::dfa_of(ExpressionId expression) {
  return Lowering(expressions_, {}, budget_).dfa_of(expression);
}

GrammarPtr GrammarBuilder::finish(RuleId root) {
  const Lowering::Result lowered = Lowering(expressions_, bodies_, budget_).run(root);
  for (const RuleAutomaton& rule : lowered.rules) {
    budget_.add_states(rule.dfa.num_states());
    // Twice: here and in the program.
    budget_.add_memory(2 * (rule.dfa.num_bytes() + sizeof(RuleAutomaton)));
  }
  return std::make_shared<const Grammar>(Program(lowered.rules, lowered.surroundings));
}

}  // namespace veloz::grammar
