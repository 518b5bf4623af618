// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "grammar/budget.h"
#include "grammar/dfa.h"
#include "grammar/expression.h"
#include "grammar/grammar.h"

namespace veloz::grammar {

/// The text of a rule: what is on the edges of some way from state 0 to `end`.
struct RuleGraph {
  struct Edge {
    uint32_t from = 0;
    ExpressionId on{};
    uint32_t to = 0;
  };
  uint32_t num_states = 1;
  uint32_t end = 0;
  std::vector<Edge> edges;

  uint32_t add_state() { return num_states++; }
};

/// What the front ends write into: rules over expressions, which `finish` makes a Grammar of.
class GrammarBuilder {
 public:
  explicit GrammarBuilder(const CompileLimits& limits) : budget_(limits), expressions_(budget_) {}

  Budget& budget() { return budget_; }
  Expressions& expressions() { return expressions_; }

  RuleId declare();
  void define(RuleId rule, ExpressionId body);
  void define(RuleId rule, RuleGraph body);
  bool is_defined(RuleId rule) const { return bodies_[static_cast<size_t>(rule)].has_value(); }

  /// Without calls and counted repetition: the automaton of an expression alone.
  Dfa dfa_of(ExpressionId expression);

  /// Throws Error(invalid_input) where no text matches. All rules it calls must be defined.
  GrammarPtr finish(RuleId root);

 private:
  Budget budget_;
  Expressions expressions_;
  std::vector<std::optional<RuleGraph>> bodies_;
};

}  // namespace veloz::grammar
