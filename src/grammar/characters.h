// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "grammar/code_points.h"
#include "grammar/expression.h"

namespace veloz::grammar {

/// How the characters of a pattern stand in the output.
enum class Spelling {
  plain,        // as UTF-8
  json_string,  // as inside the quotes of a JSON string, each in exactly one way
};

/// One character of the set.
///
/// In JSON, a character that must be escaped has its short form (\n, \") or else \u00XX with small
/// digits, any other stands for itself: so different spellings are different strings.
ExpressionId one_of(Expressions& expressions, const CodePointSet& characters, Spelling spelling);

/// The text, each character spelled as by `one_of` in JSON.
std::string json_spelling(std::string_view text);

}  // namespace veloz::grammar
