// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "grammar/budget.h"
#include "grammar/decimal.h"
#include "grammar/dfa.h"

namespace veloz::grammar {

/// Which numbers are meant.
struct NumberRange {
  struct Bound {
    Decimal value;
    bool is_exclusive = false;
  };
  /// All multiples of step / 10^scale.
  struct Multiple {
    uint64_t step = 1;
    size_t scale = 0;
  };
  std::optional<Bound> low;
  std::optional<Bound> high;
  std::vector<Multiple> multiples;
  bool is_integer = false;

  bool is_free() const { return !low && !high && multiples.empty(); }
  /// Keeps the tighter of the bounds.
  void raise_low(Bound bound);
  void lower_high(Bound bound);
  bool contains(const Decimal& number) const;
};

/// Throws Error(invalid_input) for a step that is zero, negative, or has too many digits.
NumberRange::Multiple multiple_of(const Decimal& step);

/// Their spellings without exponent: at most 20 digits before the point (more where the bounds need
/// them) and 20 after it, and no -0.
Dfa spellings_of(const NumberRange& range, Budget& budget);

}  // namespace veloz::grammar
