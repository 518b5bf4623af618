// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "grammar/dfa.h"
#include "grammar/expression.h"
#include "grammar/merged_schema.h"

namespace veloz::grammar {

class SchemaCompiler;

/// A string in its quotes. Where only its length is limited, or nothing, its characters may be
/// escaped as one likes; else each is spelled in the one way that `json_spelling` has.
ExpressionId write_string(SchemaCompiler& compiler, const MergedSchema& merged);

/// The strings that the schemas allow, enum and const included, between their quotes and spelled as
/// by `json_spelling`. Throws where the schemas have alternatives.
Dfa allowed_strings(SchemaCompiler& compiler, const MergedSchema& merged);

/// Whether length, pattern and format allow it.
bool is_allowed_string(SchemaCompiler& compiler, std::string_view text, const MergedSchema& merged);

}  // namespace veloz::grammar
