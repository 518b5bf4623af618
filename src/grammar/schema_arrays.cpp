// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_arrays.h"

#include <algorithm>

#include "grammar/schema_compiler.h"

namespace veloz::grammar {
namespace {

uint32_t less(uint32_t count, size_t by) {
  if (count == kUnbounded) return kUnbounded;
  return count > by ? count - static_cast<uint32_t>(by) : 0;
}

}  // namespace

SchemaSet item_set(const MergedSchema& merged, size_t place) {
  SchemaSet set;
  for (const MergedSchema::Items& items : merged.items) {
    if (place < items.prefix.size())
      set.push_back({.schema = items.prefix[place]});
    else if (items.rest)
      set.push_back({.schema = *items.rest});
  }
  return set;
}

RuleGraph write_array(SchemaCompiler& compiler, const MergedSchema& merged) {
  Expressions& e = compiler.expressions();
  JsonRules& json = compiler.json();
  const auto& [min, max] = merged.num_items;
  size_t num_prefix = 0;
  bool has_rest = merged.items.empty();
  for (const MergedSchema::Items& items : merged.items) {
    num_prefix = std::max(num_prefix, items.prefix.size());
    has_rest |= items.rest.has_value();
  }
  // The first item stands alone even where all are alike: it has no comma.
  const size_t num_placed = std::min<size_t>(std::max<size_t>(num_prefix, has_rest ? 1 : 0), max);
  const auto item_at = [&](size_t place) {
    const ExpressionId item = e.call(compiler.rule_for(item_set(merged, place)));
    return place == 0 ? item : e.sequence({e.literal(","), json.gap(), item});
  };

  RuleGraph graph;
  const uint32_t closing = graph.add_state();
  graph.end = graph.add_state();
  graph.edges.push_back({closing, e.sequence({json.gap(), e.literal("]")}), graph.end});
  uint32_t at = graph.add_state();
  graph.edges.push_back({0, e.sequence({e.literal("["), json.gap()}), at});
  if (min == 0) graph.edges.push_back({at, e.literal("]"), graph.end});
  for (size_t place = 0; place < num_placed; ++place) {
    const uint32_t next = graph.add_state();
    graph.edges.push_back({at, item_at(place), next});
    at = next;
    if (min <= place + 1) graph.edges.push_back({at, e.literal(""), closing});
  }
  if (has_rest && num_placed > 0 && less(max, num_placed) > 0)
    graph.edges.push_back({at,
                           e.repeat(item_at(std::max<size_t>(num_prefix, 1)), less(min, num_placed),
                                    less(max, num_placed)),
                           closing});
  return graph;
}

}  // namespace veloz::grammar
