// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "grammar/merged_schema.h"

namespace veloz::grammar {

class SchemaCompiler;

/// "oneOf" is written as "anyOf", which is the same only where no value satisfies two of the sets.
/// Throws Error(invalid_input) where that cannot be proved: from types, values, ranges, patterns,
/// or a required property for which it can.
void require_disjoint(SchemaCompiler& compiler, const std::vector<SchemaSet>& sets,
                      const std::string& pointer);

}  // namespace veloz::grammar
