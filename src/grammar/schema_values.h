// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "grammar/expression.h"
#include "grammar/json_value.h"
#include "grammar/merged_schema.h"

namespace veloz::grammar {

class SchemaCompiler;

/// Whether the value satisfies all that the schemas say. Throws Error(invalid_input) for schemas
/// that are not supported.
bool satisfies(SchemaCompiler& compiler, const JsonValue& value, const MergedSchema& merged);

/// The value, laid out in any of the usual ways.
ExpressionId write_value(SchemaCompiler& compiler, const JsonValue& value);

}  // namespace veloz::grammar
