// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "grammar/budget.h"
#include "grammar/dfa.h"

namespace veloz::grammar {

/// An automaton under construction: edges are empty, a range of bytes, or a call.
class Nfa {
 public:
  enum class EdgeKind : uint8_t { empty, bytes, call };
  struct Edge {
    uint32_t from = 0;
    uint32_t to = 0;
    EdgeKind kind = EdgeKind::empty;
    uint8_t first = 0;  // bytes
    uint8_t last = 0;
    RuleId rule{};  // call
  };

  explicit Nfa(Budget& budget) : budget_(budget) {}

  uint32_t num_states() const { return num_states_; }
  const std::vector<Edge>& edges() const { return edges_; }

  uint32_t add_state();
  void add_empty(uint32_t from, uint32_t to);
  void add_bytes(uint32_t from, uint8_t first, uint8_t last, uint32_t to);
  void add_call(uint32_t from, RuleId rule, uint32_t to);

 private:
  void add(const Edge& edge);

  Budget& budget_;
  std::vector<Edge> edges_;
  uint32_t num_states_ = 0;
};

/// The texts that lead from `start` to `end`.
Dfa determinize(const Nfa& nfa, uint32_t start, uint32_t end, Budget& budget);

}  // namespace veloz::grammar
