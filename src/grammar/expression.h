// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/budget.h"
#include "grammar/code_points.h"
#include "grammar/dfa.h"

namespace veloz::grammar {

enum class ExpressionId : uint32_t {};

inline constexpr uint32_t kUnbounded = std::numeric_limits<uint32_t>::max();

/// A set of texts, written down. Which fields mean something depends on the kind.
struct Expression {
  enum class Kind : uint8_t {
    nothing,     // no text at all
    literal,     // exactly `text`; the empty text is one
    characters,  // one code point of `characters`
    sequence,    // all parts, one after the other
    choice,      // one of the parts
    repeat,      // the one part, min to max times
    call,        // what `rule` says
    dfa,         // what `dfa` accepts
  };
  Kind kind = Kind::nothing;
  uint32_t min = 0;
  uint32_t max = 0;  // kUnbounded: any number
  RuleId rule{};
  std::string text{};
  CodePointSet characters{};
  std::vector<ExpressionId> parts{};
  std::unique_ptr<const Dfa> dfa{};
};

/// Owns expressions; they may share parts. Charged to the budget.
class Expressions {
 public:
  explicit Expressions(Budget& budget) : budget_(budget) {}

  const Expression& operator[](ExpressionId id) const { return all_[static_cast<size_t>(id)]; }
  size_t size() const { return all_.size(); }

  ExpressionId nothing();
  ExpressionId literal(std::string_view text);
  ExpressionId characters(CodePointSet characters);
  ExpressionId sequence(std::vector<ExpressionId> parts);
  ExpressionId choice(std::vector<ExpressionId> parts);
  ExpressionId repeat(ExpressionId part, uint32_t min, uint32_t max);
  ExpressionId optional(ExpressionId part) { return repeat(part, 0, 1); }
  ExpressionId call(RuleId rule);
  ExpressionId dfa(Dfa dfa);

 private:
  ExpressionId add(Expression expression);

  Budget& budget_;
  std::deque<Expression> all_;  // references stay good
};

}  // namespace veloz::grammar
