// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "grammar/grammar_builder.h"

namespace veloz::grammar {

/// The rules of JSON itself, each made when it is first asked for.
///
/// White space between the parts of a text is one blank, or a line break and up to 64 blanks or
/// tabs; there is none around the whole, and none before a comma or colon. So a model can lay out
/// what it writes as is usual, and cannot go on with white space for ever.
///
/// A number has at most 20 digits before its point, 20 after it and 2 in its exponent: a double
/// holds it.
class JsonRules {
 public:
  explicit JsonRules(GrammarBuilder& builder) : builder_(builder) {}

  RuleId value();
  RuleId object();  // any members
  RuleId array();   // any items
  RuleId string();
  RuleId number();
  RuleId integer();  // a number without point and exponent
  ExpressionId null();
  ExpressionId boolean();

  /// After "{", "[" and "," and before "}" and "]".
  ExpressionId gap();
  /// A colon, and a blank or not.
  ExpressionId colon();
  /// "{" and "}" or "[" and "]" around `inside`, or around nothing but a gap.
  ExpressionId enclosed(const char* open, ExpressionId inside, const char* close);
  /// One character in a string, however it is written.
  ExpressionId string_character();

 private:
  ExpressionId comma_separated(ExpressionId item);

  GrammarBuilder& builder_;
  std::optional<RuleId> value_, object_, array_, string_, number_, integer_;
  std::optional<ExpressionId> gap_, colon_, string_character_;
};

}  // namespace veloz::grammar
