// SPDX-License-Identifier: Apache-2.0
#include "grammar/nfa.h"

namespace veloz::grammar {

uint32_t Nfa::add_state() {
  budget_.tick();
  budget_.check_states_at_once(num_states_ + int64_t{1});
  return num_states_++;
}

void Nfa::add_empty(uint32_t from, uint32_t to) {
  add({.from = from, .to = to, .kind = EdgeKind::empty});
}

void Nfa::add_bytes(uint32_t from, uint8_t first, uint8_t last, uint32_t to) {
  add({.from = from, .to = to, .kind = EdgeKind::bytes, .first = first, .last = last});
}

void Nfa::add_call(uint32_t from, RuleId rule, uint32_t to) {
  add({.from = from, .to = to, .kind = EdgeKind::call, .rule = rule});
}

void Nfa::add(const Edge& edge) {
  budget_.tick();
  edges_.push_back(edge);
  budget_.check_memory_at_once(edges_.size() * sizeof(Edge));
}

}  // namespace veloz::grammar
