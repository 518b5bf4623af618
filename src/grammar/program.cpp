// SPDX-License-Identifier: Apache-2.0
#include "grammar/program.h"

#include <cstring>

#include "grammar/grammar.h"

namespace veloz::grammar {
namespace {

template <typename T>
void append(std::string& bytes, std::span<const T> values) {
  const size_t at = bytes.size();
  bytes.resize(at + values.size_bytes());
  std::memcpy(bytes.data() + at, values.data(), values.size_bytes());
}

}  // namespace

Program::Program(const std::vector<RuleAutomaton>& rules,
                 const std::vector<RuleSurroundings>& surroundings) {
  for (size_t i = 0; i < rules.size(); ++i) add_rule(rules[i], surroundings[i]);
}

void Program::add_rule(const RuleAutomaton& automaton, const RuleSurroundings& surroundings) {
  const Dfa& dfa = automaton.dfa;
  const auto first = static_cast<uint32_t>(states_.size());
  rules_.push_back({.start = first + dfa.start,
                    .first_state = first,
                    .end_state = first + dfa.num_states(),
                    .is_counted = automaton.is_counted,
                    .is_leaf = dfa.calls.empty(),
                    .min = automaton.min,
                    .max = automaton.max,
                    .follow = surroundings.follow,
                    .class_of = dfa.class_of});
  size_t call = 0;
  for (uint32_t i = 0; i < dfa.num_states(); ++i) {
    State state = {.row = next_.size(),
                   .rule = static_cast<uint32_t>(rules_.size() - 1),
                   .calls_begin = static_cast<uint32_t>(calls_.size()),
                   .is_final = dfa.is_final[i] != 0,
                   .is_counting = automaton.is_counted && i == dfa.start};
    for (uint32_t k = 0; k < dfa.num_classes; ++k) {
      const uint32_t to = dfa.next[size_t{i} * dfa.num_classes + k];
      next_.push_back(to == kDead ? kDead : first + to);
      state.has_bytes |= to != kDead;
    }
    for (; call < dfa.calls.size() && dfa.calls[call].from == i; ++call)
      calls_.push_back({static_cast<uint32_t>(dfa.calls[call].rule), first + dfa.calls[call].to});
    state.calls_end = static_cast<uint32_t>(calls_.size());
    state.is_plain = state.has_bytes && !state.is_final && !state.is_counting &&
                     state.calls_begin == state.calls_end;
    state.ends_here = state.is_final && !state.has_bytes && state.calls_begin == state.calls_end &&
                      !automaton.is_counted;
    states_.push_back(state);
  }
}

std::span<const uint32_t> Program::rows_of(const Rule& rule) const {
  const size_t begin = states_[rule.first_state].row;
  const size_t end = rule.end_state < states_.size() ? states_[rule.end_state].row : next_.size();
  return std::span(next_).subspan(begin, end - begin);
}

size_t Program::num_table_bytes(uint32_t rule) const { return rows_of(rules_[rule]).size_bytes(); }

size_t Program::num_bytes() const {
  const auto bytes_of = [](const auto& table) { return table.capacity() * sizeof(table[0]); };
  return bytes_of(rules_) + bytes_of(states_) + bytes_of(next_) + bytes_of(calls_);
}

std::string Program::leaf_key(uint32_t index) const {
  const Rule& leaf = rules_[index];
  std::string key;
  const uint32_t head[] = {leaf.start - leaf.first_state, leaf.is_counted ? 1U : 0U};
  append(key, std::span<const uint32_t>(head));
  append(key, std::span<const uint8_t>(leaf.class_of));
  for (size_t byte = 0; byte < leaf.follow.size(); ++byte)
    key.push_back(leaf.follow[byte] ? '1' : '0');
  for (const uint32_t next : rows_of(leaf)) {
    const uint32_t to = next == kDead ? kDead : next - leaf.first_state;
    append(key, std::span<const uint32_t>(&to, 1));
  }
  for (uint32_t state = leaf.first_state; state < leaf.end_state; ++state)
    key.push_back(states_[state].is_final ? '1' : '0');
  return key;
}

size_t num_bytes(const Grammar& grammar) { return sizeof(Grammar) + grammar.program().num_bytes(); }

}  // namespace veloz::grammar
