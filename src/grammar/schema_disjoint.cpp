// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_disjoint.h"

#include <fmt/format.h>

#include <algorithm>

#include "grammar/dfa_shape.h"
#include "grammar/schema_compiler.h"
#include "grammar/schema_objects.h"
#include "grammar/schema_strings.h"
#include "grammar/schema_values.h"

namespace veloz::grammar {
namespace {

constexpr int kMaxDepth = 6;

bool are_disjoint(SchemaCompiler& compiler, const SchemaSet& a, const SchemaSet& b, int depth);

/// Whether the first has a list of values and none of them satisfies both.
bool values_differ(SchemaCompiler& compiler, const MergedSchema& a, const MergedSchema& b) {
  return a.values && std::none_of(a.values->begin(), a.values->end(), [&](const JsonValue* value) {
           return satisfies(compiler, *value, a) && satisfies(compiler, *value, b);
         });
}

bool ends_before(const NumberRange& a, const NumberRange& b) {
  if (!a.high || !b.low) return false;
  return a.high->value < b.low->value ||
         (a.high->value == b.low->value && (a.high->is_exclusive || b.low->is_exclusive));
}

bool ends_before(const MergedSchema::Length& a, const MergedSchema::Length& b) {
  return a.max < b.min;
}

bool strings_differ(SchemaCompiler& compiler, const MergedSchema& a, const MergedSchema& b) {
  if (ends_before(a.text_length, b.text_length) || ends_before(b.text_length, a.text_length))
    return true;
  if (a.texts.empty() || b.texts.empty() || a.values || b.values || !a.alternatives.empty() ||
      !b.alternatives.empty())
    return false;
  return combine(allowed_strings(compiler, a), allowed_strings(compiler, b), Combination::both,
                 compiler.builder().budget())
             .num_states() == 0;
}

/// A property that one of them requires cannot satisfy both.
bool objects_differ(SchemaCompiler& compiler, const MergedSchema& a, const MergedSchema& b,
                    int depth) {
  const auto differs = [&](const std::string& name) {
    return are_disjoint(compiler, property_set(compiler, a, name), property_set(compiler, b, name),
                        depth + 1);
  };
  return std::any_of(a.required.begin(), a.required.end(), differs) ||
         std::any_of(b.required.begin(), b.required.end(), differs);
}

bool are_disjoint(SchemaCompiler& compiler, const SchemaSet& set_a, const SchemaSet& set_b,
                  int depth) {
  compiler.builder().budget().tick();
  if (depth > kMaxDepth) return false;
  const MergedSchema a = compiler.merged(set_a);
  const MergedSchema b = compiler.merged(set_b);
  if (a.is_impossible || b.is_impossible) return true;
  if (values_differ(compiler, a, b) || values_differ(compiler, b, a)) return true;
  // Texts of one must not satisfy the other: types that are never written do not matter.
  TypeSet common{static_cast<uint8_t>((a.written_types().bits & b.types.bits) |
                                      (b.written_types().bits & a.types.bits))};
  const auto settle = [&](uint8_t type, bool differs) {
    if (differs) common.bits &= static_cast<uint8_t>(~type);
  };
  settle(TypeSet::kNumber, ends_before(a.numbers, b.numbers) || ends_before(b.numbers, a.numbers));
  settle(TypeSet::kArray,
         ends_before(a.num_items, b.num_items) || ends_before(b.num_items, a.num_items));
  if (common.has(TypeSet::kString)) settle(TypeSet::kString, strings_differ(compiler, a, b));
  if (common.has(TypeSet::kObject)) settle(TypeSet::kObject, objects_differ(compiler, a, b, depth));
  return common.bits == 0;
}

}  // namespace

void require_disjoint(SchemaCompiler& compiler, const std::vector<SchemaSet>& sets,
                      const std::string& pointer) {
  for (size_t i = 0; i < sets.size(); ++i)
    for (size_t j = i + 1; j < sets.size(); ++j)
      if (!are_disjoint(compiler, sets[i], sets[j], 0))
        compiler.document().refuse(
            pointer, fmt::format("a value could satisfy alternatives {} and {} at once", i, j),
            "use \"anyOf\", or tell them apart by type, or by a required property with another "
            "\"const\" in each");
}

}  // namespace veloz::grammar
