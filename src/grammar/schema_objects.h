// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "grammar/grammar_builder.h"
#include "grammar/merged_schema.h"

namespace veloz::grammar {

class SchemaCompiler;

/// An object: its declared properties in their order, optional ones there or not, then others.
/// Others come only where "additionalProperties" or "patternProperties" speak of them, or where
/// nothing is declared at all.
RuleGraph write_object(SchemaCompiler& compiler, const MergedSchema& merged);

/// What the value of a property must satisfy.
SchemaSet property_set(SchemaCompiler& compiler, const MergedSchema& merged,
                       const std::string& name);

}  // namespace veloz::grammar
