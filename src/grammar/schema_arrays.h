// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "grammar/grammar_builder.h"
#include "grammar/merged_schema.h"

namespace veloz::grammar {

class SchemaCompiler;

/// An array. After "prefixItems" there are more items only where "items" says which.
RuleGraph write_array(SchemaCompiler& compiler, const MergedSchema& merged);

/// What the item at a place must satisfy.
SchemaSet item_set(const MergedSchema& merged, size_t place);

}  // namespace veloz::grammar
