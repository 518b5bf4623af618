// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "grammar/budget.h"
#include "grammar/dfa.h"

namespace veloz::grammar {

/// Without the states that lead nowhere or that nothing leads to, and with as few byte classes as
/// tell them apart.
Dfa compact(const Dfa& dfa);

/// No text it accepts is the beginning of another: where its repetitions meet is never in doubt.
bool is_prefix_free(const Dfa& dfa);

/// The automaton for texts of `part` (which is prefix free and does not accept the empty text) one
/// after the other: its start is final, and nothing leads back there but the end of a part.
Dfa loop(const Dfa& part);

enum class Combination { both, first_only };

/// The texts that both accept, or the first and not the second. Neither has calls.
Dfa combine(const Dfa& a, const Dfa& b, Combination combination, Budget& budget);

/// The texts that `dfa` accepts and that are min to max texts of `part`, one after the other, of
/// which none is empty or the beginning of another. Neither has calls.
Dfa with_count(const Dfa& dfa, const Dfa& part, uint32_t min, uint32_t max, Budget& budget);

}  // namespace veloz::grammar
