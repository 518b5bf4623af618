// SPDX-License-Identifier: Apache-2.0
#include "grammar/expression.h"

#include <utility>

namespace veloz::grammar {

ExpressionId Expressions::add(Expression expression) {
  budget_.tick();
  budget_.add_memory(sizeof(Expression) + expression.text.size() +
                     expression.characters.ranges().size() * sizeof(CodePointSet::Range) +
                     expression.parts.size() * sizeof(ExpressionId) +
                     (expression.dfa ? sizeof(Dfa) + expression.dfa->num_bytes() : 0));
  all_.push_back(std::move(expression));
  return ExpressionId{static_cast<uint32_t>(all_.size() - 1)};
}

ExpressionId Expressions::nothing() { return add({.kind = Expression::Kind::nothing}); }

ExpressionId Expressions::literal(std::string_view text) {
  return add({.kind = Expression::Kind::literal, .text = std::string(text)});
}

ExpressionId Expressions::characters(CodePointSet characters) {
  return add({.kind = Expression::Kind::characters, .characters = std::move(characters)});
}

ExpressionId Expressions::sequence(std::vector<ExpressionId> parts) {
  if (parts.size() == 1) return parts.front();
  return add({.kind = Expression::Kind::sequence, .parts = std::move(parts)});
}

ExpressionId Expressions::choice(std::vector<ExpressionId> parts) {
  if (parts.size() == 1) return parts.front();
  return add({.kind = Expression::Kind::choice, .parts = std::move(parts)});
}

ExpressionId Expressions::repeat(ExpressionId part, uint32_t min, uint32_t max) {
  if (min == 1 && max == 1) return part;
  return add({.kind = Expression::Kind::repeat, .min = min, .max = max, .parts = {part}});
}

ExpressionId Expressions::call(RuleId rule) {
  return add({.kind = Expression::Kind::call, .rule = rule});
}

ExpressionId Expressions::dfa(Dfa dfa) {
  return add({.kind = Expression::Kind::dfa, .dfa = std::make_unique<const Dfa>(std::move(dfa))});
}

}  // namespace veloz::grammar
