// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "grammar/expression.h"
#include "grammar/json_value.h"
#include "grammar/merged_schema.h"

namespace veloz::grammar {

class SchemaCompiler;

enum class Validity { valid, invalid, unknown };

/// Whether the value satisfies what the schemas say besides enum, const and alternatives. Unknown
/// for arrays and objects about whose parts they say something.
Validity may_be_valid(SchemaCompiler& compiler, const JsonValue& value, const MergedSchema& merged);

/// The value, laid out in any of the usual ways.
ExpressionId write_value(SchemaCompiler& compiler, const JsonValue& value);

}  // namespace veloz::grammar
