// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <span>
#include <vector>

#include "grammar/budget.h"
#include "grammar/expression.h"
#include "grammar/grammar_builder.h"
#include "grammar/rule_automaton.h"
#include "grammar/rule_facts.h"

namespace veloz::grammar {

/// Makes automata of rules. A long repetition becomes a counted rule of its own where the count
/// can never be in doubt, and is written out where it can.
class Lowering {
 public:
  Lowering(const Expressions& expressions, std::span<const std::optional<RuleGraph>> bodies,
           Budget& budget);

  struct Result {
    std::vector<RuleAutomaton> rules;  // those that can be reached; rule 0 is the root
    std::vector<RuleSurroundings> surroundings;
  };
  Result run(RuleId root);

  /// Of an expression without calls; nothing is counted.
  Dfa dfa_of(ExpressionId expression);

 private:
  struct Counted {
    ExpressionId repeat{};
    RuleAutomaton automaton;
  };
  class Emitter;

  Result reach_all(RuleId root);
  RuleAutomaton automaton_of(RuleId rule);
  std::optional<RuleId> try_count(ExpressionId repeat);
  bool is_long(const Expression& repeat) const;

  const Expressions& expressions_;
  std::span<const std::optional<RuleGraph>> bodies_;
  Budget& budget_;
  RuleFacts facts_;
  std::set<ExpressionId> written_out_;               // repetitions that must not be counted
  std::vector<Counted> counted_;                     // rules after the declared ones
  std::vector<std::optional<RuleId>> counted_rule_;  // [num_expressions]
  std::vector<ExpressionId> repeat_of_rule_;         // of the last reach_all
};

}  // namespace veloz::grammar
