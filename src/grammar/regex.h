// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "grammar/characters.h"
#include "grammar/grammar_builder.h"

namespace veloz::grammar {

enum class RegexMatch {
  whole_text,  // the text is what the pattern says
  anywhere,    // the text holds it somewhere, unless ^ or $ say where: JSON Schema's `pattern`
};

/// The texts that match. Anchors may stand at the ends of the pattern, or of an alternative there.
/// Throws Error(invalid_input) with the offset.
ExpressionId regex_expression(GrammarBuilder& builder, std::string_view pattern, RegexMatch match,
                              Spelling spelling);

}  // namespace veloz::grammar
