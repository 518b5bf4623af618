// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "grammar/expression.h"
#include "grammar/rule_automaton.h"

namespace veloz::grammar {

/// All rules of a grammar as one table of states, as the matcher runs it.
class Program {
 public:
  static constexpr uint32_t kDead = Dfa::kDead;
  struct Rule {
    uint32_t start = 0;  // states of a rule stand together: [first_state, end_state)
    uint32_t first_state = 0;
    uint32_t end_state = 0;
    bool is_counted = false;
    bool is_leaf = false;  // calls nothing
    uint32_t min = 0;
    uint32_t max = 0;  // kUnbounded: any number
    ByteSet follow;
    std::array<uint8_t, 256> class_of{};
  };
  struct Call {
    uint32_t callee = 0;  // a rule
    uint32_t to = 0;      // the state after it
  };
  struct State {
    size_t row = 0;  // of `next_`
    uint32_t rule = 0;
    uint32_t calls_begin = 0;
    uint32_t calls_end = 0;
    bool is_final = false;
    bool has_bytes = false;    // an edge for some byte
    bool is_counting = false;  // edges that leave it count
    bool is_plain = false;     // bytes are all that can come: no call, no end, no count
    bool ends_here = false;    // final, with no edge at all, in a rule that is not counted
  };

  /// Rule 0 is the whole text.
  Program(const std::vector<RuleAutomaton>& rules,
          const std::vector<RuleSurroundings>& surroundings);

  const Rule& rule(uint32_t rule) const { return rules_[rule]; }
  const State& state(uint32_t state) const { return states_[state]; }
  const Rule& rule_of(uint32_t state) const { return rules_[states_[state].rule]; }
  std::span<const Call> calls(const State& state) const {
    return std::span(calls_).subspan(state.calls_begin, state.calls_end - state.calls_begin);
  }
  uint32_t next(const State& state, uint8_t byte) const {
    return next_[state.row + rules_[state.rule].class_of[byte]];
  }
  uint32_t num_states() const { return static_cast<uint32_t>(states_.size()); }
  uint32_t num_rules() const { return static_cast<uint32_t>(rules_.size()); }
  /// All that decides which tokens fit inside a leaf, whatever its bounds: equal for rules of
  /// different grammars that are the same.
  std::string leaf_key(uint32_t rule) const;
  /// Of the rule's part of the table.
  size_t num_table_bytes(uint32_t rule) const;
  size_t num_bytes() const;

 private:
  void add_rule(const RuleAutomaton& automaton, const RuleSurroundings& surroundings);
  std::span<const uint32_t> rows_of(const Rule& rule) const;

  std::vector<Rule> rules_;
  std::vector<State> states_;
  std::vector<uint32_t> next_;  // per state and byte class of its rule: a state or kDead
  std::vector<Call> calls_;
};

/// A Program, under the name that the outside knows.
class Grammar {
 public:
  explicit Grammar(Program program) : program_(std::move(program)) {}
  const Program& program() const { return program_; }

 private:
  Program program_;
};

}  // namespace veloz::grammar
