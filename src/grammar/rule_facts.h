// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "grammar/budget.h"
#include "grammar/expression.h"
#include "grammar/grammar_builder.h"

namespace veloz::grammar {

/// What must be known of all rules before any becomes an automaton: whether its text may be empty,
/// and whether it has any text of finite length.
class RuleFacts {
 public:
  RuleFacts(const Expressions& expressions, std::span<const std::optional<RuleGraph>> bodies,
            Budget& budget);

  bool may_be_empty(RuleId rule) const { return may_be_empty_[static_cast<size_t>(rule)] != 0; }
  bool has_text(RuleId rule) const { return has_text_[static_cast<size_t>(rule)] != 0; }
  bool may_be_empty(ExpressionId id) const;

 private:
  bool has_text(ExpressionId id) const;

  const Expressions& expressions_;
  std::vector<uint8_t> may_be_empty_;
  std::vector<uint8_t> has_text_;
};

}  // namespace veloz::grammar
