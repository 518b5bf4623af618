// SPDX-License-Identifier: Apache-2.0
#include "grammar/rule_automaton.h"

#include <cstddef>

namespace veloz::grammar {
namespace {

/// Bytes that can come at each state of one rule, callees' first bytes included.
class StateBytes {
 public:
  StateBytes(const Dfa& dfa, const std::vector<RuleSurroundings>& surroundings) {
    bytes_.resize(dfa.num_states());
    std::vector<ByteSet> bytes_of_class(dfa.num_classes);
    for (size_t byte = 0; byte < 256; ++byte) bytes_of_class[dfa.class_of[byte]].set(byte);
    for (size_t i = 0; i < dfa.next.size(); ++i)
      if (dfa.next[i] != Dfa::kDead)
        bytes_[i / dfa.num_classes] |= bytes_of_class[i % dfa.num_classes];
    for (const Dfa::Call& call : dfa.calls)
      bytes_[call.from] |= surroundings[static_cast<size_t>(call.rule)].first;
  }
  const ByteSet& operator[](uint32_t state) const { return bytes_[state]; }

 private:
  std::vector<ByteSet> bytes_;
};

/// `set |= more`; whether that changed it.
bool grow(ByteSet& set, const ByteSet& more) {
  const ByteSet before = set;
  set |= more;
  return set != before;
}

/// One round over a rule with what is known so far; whether anything new came of it.
bool look_at_rule(const std::vector<RuleAutomaton>& rules, size_t rule,
                  std::vector<RuleSurroundings>& surroundings) {
  const Dfa& dfa = rules[rule].dfa;
  const StateBytes bytes(dfa, surroundings);
  RuleSurroundings& own = surroundings[rule];
  bool is_new = grow(own.first, bytes[dfa.start]);
  for (uint32_t state = 0; state < dfa.num_states(); ++state)
    if (dfa.is_final[state] != 0) is_new |= grow(own.extension, bytes[state]);
  for (const Dfa::Call& call : dfa.calls) {
    RuleSurroundings& callee = surroundings[static_cast<size_t>(call.rule)];
    is_new |= grow(callee.follow, bytes[call.to]);
    if (dfa.is_final[call.to] == 0) continue;
    is_new |= grow(callee.follow, own.follow);
    is_new |= grow(own.extension, callee.extension);
  }
  return is_new;
}

}  // namespace

std::vector<RuleSurroundings> surroundings_of(const std::vector<RuleAutomaton>& rules,
                                              Budget& budget) {
  std::vector<RuleSurroundings> surroundings(rules.size());
  bool is_new = true;
  while (is_new) {
    is_new = false;
    // First bytes come from the callees, which mostly stand behind their callers.
    for (size_t rule = rules.size(); rule-- > 0;) {
      budget.tick();
      is_new |= look_at_rule(rules, rule, surroundings);
    }
  }
  return surroundings;
}

bool is_ambiguous_count(const std::vector<RuleAutomaton>& rules,
                        const std::vector<RuleSurroundings>& surroundings, RuleId rule) {
  const RuleAutomaton& automaton = rules[static_cast<size_t>(rule)];
  const RuleSurroundings& own = surroundings[static_cast<size_t>(rule)];
  if (automaton.min != automaton.max && (own.first & own.follow).any()) return true;
  for (const Dfa::Call& call : automaton.dfa.calls)
    if (call.to == automaton.dfa.start &&
        (surroundings[static_cast<size_t>(call.rule)].extension & own.first).any())
      return true;
  return false;
}

}  // namespace veloz::grammar
