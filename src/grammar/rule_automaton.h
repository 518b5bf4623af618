// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "grammar/budget.h"
#include "grammar/dfa.h"

namespace veloz::grammar {

/// A rule ready to run. A counted one is a loop (see `loop`) that goes round min to max times:
/// each edge that leaves its start counts.
struct RuleAutomaton {
  Dfa dfa;
  bool is_counted = false;
  uint32_t min = 0;
  uint32_t max = 0;
};

using ByteSet = std::bitset<256>;

/// What stands next to a rule's text, over all the places where it can be. Supersets.
struct RuleSurroundings {
  ByteSet first;      // bytes its text can begin with
  ByteSet follow;     // bytes that can come after it
  ByteSet extension;  // bytes that can make a longer text out of a complete one
};

/// Per rule; rule 0 is the whole text.
std::vector<RuleSurroundings> surroundings_of(const std::vector<RuleAutomaton>& rules,
                                              Budget& budget);

/// A byte may leave it open how often the loop has gone round, so that its counts would multiply.
bool is_ambiguous_count(const std::vector<RuleAutomaton>& rules,
                        const std::vector<RuleSurroundings>& surroundings, RuleId rule);

}  // namespace veloz::grammar
