// SPDX-License-Identifier: Apache-2.0
#include "grammar/lowering.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "grammar/dfa_shape.h"
#include "grammar/nfa.h"

namespace veloz::grammar {
namespace {

/// A repetition that takes at most this many states is written out: one automaton is quicker than
/// a call.
constexpr int64_t kShortRepeatStates = 48;

constexpr int64_t kLargestSize = int64_t{1} << 20;  // so that products cannot overflow

/// About how many states one copy takes; does not look far beyond the limit above.
int64_t size_of(const Expressions& expressions, ExpressionId id) {
  const Expression& expression = expressions[id];
  int64_t size = 0;
  switch (expression.kind) {
    case Expression::Kind::nothing:
      return 0;
    case Expression::Kind::literal:
      return static_cast<int64_t>(expression.text.size());
    case Expression::Kind::characters:
      return expression.characters.is_ascii() ? 1 : 8;
    case Expression::Kind::call:
      return 1;
    case Expression::Kind::dfa:
      return expression.dfa->num_states();
    case Expression::Kind::sequence:
    case Expression::Kind::choice:
      for (const ExpressionId part : expression.parts) {
        size += size_of(expressions, part);
        if (size > kShortRepeatStates) break;
      }
      return size;
    case Expression::Kind::repeat: {
      const uint32_t times = expression.max == kUnbounded ? expression.min + 1 : expression.max;
      size = std::max<int64_t>(size_of(expressions, expression.parts.front()), 1) * times;
      return std::min(size, kLargestSize);
    }
  }
  return size;
}

/// Without the empty text, which a loop of parts has anyway.
Dfa without_empty(Dfa dfa) {
  if (dfa.num_states() == 0 || dfa.is_final[dfa.start] == 0) return dfa;
  if (!is_prefix_free(dfa)) {
    const bool has_way_back =
        std::find(dfa.next.begin(), dfa.next.end(), dfa.start) != dfa.next.end() ||
        std::any_of(dfa.calls.begin(), dfa.calls.end(),
                    [&](const Dfa::Call& call) { return call.to == dfa.start; });
    if (has_way_back) return dfa;
  }
  dfa.is_final[dfa.start] = 0;
  return compact(dfa);
}

}  // namespace

/// Writes expressions into one automaton, between states that are there.
class Lowering::Emitter {
 public:
  Emitter(Lowering& owner, Nfa& nfa) : owner_(owner), nfa_(nfa) {}

  void emit(ExpressionId id, uint32_t from, uint32_t to) {
    const Expression& expression = owner_.expressions_[id];
    switch (expression.kind) {
      case Expression::Kind::nothing:
        return;
      case Expression::Kind::literal:
        return emit_literal(expression.text, from, to);
      case Expression::Kind::characters:
        return emit_characters(expression.characters, from, to);
      case Expression::Kind::sequence:
        return emit_sequence(expression.parts, from, to);
      case Expression::Kind::choice:
        for (const ExpressionId part : expression.parts) emit(part, from, to);
        return;
      case Expression::Kind::repeat:
        if (const auto rule = owner_.try_count(id)) {
          nfa_.add_call(from, *rule, to);
          if (owner_.facts_.may_be_empty(id)) nfa_.add_empty(from, to);
          return;
        }
        return emit_repeat(expression, from, to);
      case Expression::Kind::call:
        if (owner_.facts_.has_text(expression.rule)) nfa_.add_call(from, expression.rule, to);
        if (owner_.facts_.may_be_empty(expression.rule)) nfa_.add_empty(from, to);
        return;
      case Expression::Kind::dfa:
        return emit_dfa(*expression.dfa, from, to);
    }
  }

 private:
  void emit_literal(const std::string& text, uint32_t from, uint32_t to) {
    for (const char c : text) {
      const uint32_t next = nfa_.add_state();
      nfa_.add_bytes(from, static_cast<uint8_t>(c), static_cast<uint8_t>(c), next);
      from = next;
    }
    nfa_.add_empty(from, to);
  }

  void emit_characters(const CodePointSet& characters, uint32_t from, uint32_t to) {
    for (const Utf8Sequence& sequence : utf8_sequences(characters)) {
      uint32_t at = from;
      for (size_t i = 0; i < sequence.length; ++i) {
        const uint32_t next = i + 1 == sequence.length ? to : nfa_.add_state();
        nfa_.add_bytes(at, sequence.bytes[i].first, sequence.bytes[i].last, next);
        at = next;
      }
    }
  }

  void emit_sequence(const std::vector<ExpressionId>& parts, uint32_t from, uint32_t to) {
    for (const ExpressionId part : parts) {
      const uint32_t next = nfa_.add_state();
      emit(part, from, next);
      from = next;
    }
    nfa_.add_empty(from, to);
  }

  void emit_repeat(const Expression& repeat, uint32_t from, uint32_t to) {
    const ExpressionId part = repeat.parts.front();
    for (uint32_t i = 0; i < repeat.min; ++i) from = emit_after(part, from);
    if (repeat.max == kUnbounded) {
      const uint32_t again = nfa_.add_state();
      nfa_.add_empty(from, again);
      emit(part, again, again);
      return nfa_.add_empty(again, to);
    }
    for (uint32_t i = repeat.min; i < repeat.max; ++i) {
      nfa_.add_empty(from, to);
      from = emit_after(part, from);
    }
    nfa_.add_empty(from, to);
  }

  uint32_t emit_after(ExpressionId part, uint32_t from) {
    const uint32_t next = nfa_.add_state();
    emit(part, from, next);
    return next;
  }

  void emit_dfa(const Dfa& dfa, uint32_t from, uint32_t to) {
    std::vector<uint32_t> ids(dfa.num_states());
    for (uint32_t& id : ids) id = nfa_.add_state();
    if (!ids.empty()) nfa_.add_empty(from, ids[dfa.start]);
    for (uint32_t state = 0; state < dfa.num_states(); ++state) {
      if (dfa.is_final[state] != 0) nfa_.add_empty(ids[state], to);
      for (size_t first = 0, last = 0; first < 256; first = last + 1) {
        const uint32_t next = dfa.step(state, static_cast<uint8_t>(first));
        for (last = first; last < 255; ++last)
          if (dfa.step(state, static_cast<uint8_t>(last + 1)) != next) break;
        if (next != Dfa::kDead)
          nfa_.add_bytes(ids[state], static_cast<uint8_t>(first), static_cast<uint8_t>(last),
                         ids[next]);
      }
    }
  }

  Lowering& owner_;
  Nfa& nfa_;
};

Lowering::Lowering(const Expressions& expressions, std::span<const std::optional<RuleGraph>> bodies,
                   Budget& budget)
    : expressions_(expressions),
      bodies_(bodies),
      budget_(budget),
      facts_(expressions, bodies, budget) {}

Lowering::Result Lowering::run(RuleId root) {
  if (!facts_.has_text(root))
    throw Error(ErrorKind::invalid_input, "no text of finite length matches the grammar",
                "a rule that always needs itself again never ends");
  while (true) {
    Result result = reach_all(root);
    const size_t num_written_out = written_out_.size();
    for (uint32_t rule = 0; rule < result.rules.size(); ++rule)
      if (result.rules[rule].is_counted &&
          is_ambiguous_count(result.rules, result.surroundings, RuleId{rule}))
        written_out_.insert(repeat_of_rule_[rule]);
    if (written_out_.size() == num_written_out) return result;
  }
}

/// Makes the automata of all rules that the root needs, numbered as they are met.
Lowering::Result Lowering::reach_all(RuleId root) {
  counted_.clear();
  counted_rule_.assign(expressions_.size(), std::nullopt);
  repeat_of_rule_.clear();
  Result result;
  std::map<RuleId, RuleId> new_ids = {{root, RuleId{0}}};
  std::vector<RuleId> met = {root};
  for (size_t i = 0; i < met.size(); ++i) {
    budget_.tick();
    const size_t id = static_cast<size_t>(met[i]);
    const bool is_counted = id >= bodies_.size();
    repeat_of_rule_.push_back(is_counted ? counted_[id - bodies_.size()].repeat : ExpressionId{});
    result.rules.push_back(is_counted ? counted_[id - bodies_.size()].automaton
                                      : automaton_of(met[i]));
    for (Dfa::Call& call : result.rules.back().dfa.calls) {
      const auto [found, is_new] =
          new_ids.try_emplace(call.rule, RuleId{static_cast<uint32_t>(met.size())});
      if (is_new) met.push_back(call.rule);
      call.rule = found->second;
    }
  }
  result.surroundings = surroundings_of(result.rules, budget_);
  return result;
}

RuleAutomaton Lowering::automaton_of(RuleId rule) {
  const RuleGraph& graph = *bodies_[static_cast<size_t>(rule)];
  Nfa nfa(budget_);
  for (uint32_t i = 0; i < graph.num_states; ++i) nfa.add_state();
  Emitter emitter(*this, nfa);
  for (const RuleGraph::Edge& edge : graph.edges) emitter.emit(edge.on, edge.from, edge.to);
  return {.dfa = determinize(nfa, 0, graph.end, budget_)};
}

Dfa Lowering::dfa_of(ExpressionId expression) {
  Nfa nfa(budget_);
  const uint32_t start = nfa.add_state();
  const uint32_t end = nfa.add_state();
  Emitter(*this, nfa).emit(expression, start, end);
  return determinize(nfa, start, end, budget_);
}

bool Lowering::is_long(const Expression& repeat) const {
  const uint32_t times = repeat.max == kUnbounded ? repeat.min : repeat.max;
  if (times < 2) return false;
  return std::max<int64_t>(size_of(expressions_, repeat.parts.front()), 1) * times >
         kShortRepeatStates;
}

std::optional<RuleId> Lowering::try_count(ExpressionId repeat) {
  if (static_cast<size_t>(repeat) >= counted_rule_.size()) return std::nullopt;
  if (const auto known = counted_rule_[static_cast<size_t>(repeat)]) return known;
  const Expression& expression = expressions_[repeat];
  if (!is_long(expression) || written_out_.contains(repeat)) return std::nullopt;
  const ExpressionId part = expression.parts.front();
  const Dfa once = without_empty(dfa_of(part));
  if (once.num_states() == 0 || once.is_final[once.start] != 0 || !is_prefix_free(once)) {
    written_out_.insert(repeat);
    return std::nullopt;
  }
  counted_.push_back({.repeat = repeat,
                      .automaton = {.dfa = loop(once),
                                    .is_counted = true,
                                    .min = facts_.may_be_empty(part) ? 0 : expression.min,
                                    .max = expression.max}});
  const RuleId rule{static_cast<uint32_t>(bodies_.size() + counted_.size() - 1)};
  counted_rule_[static_cast<size_t>(repeat)] = rule;
  return rule;
}

}  // namespace veloz::grammar
