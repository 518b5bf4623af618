// SPDX-License-Identifier: Apache-2.0
#include "grammar/merged_schema.h"

#include <algorithm>

#include "grammar/keyword_reader.h"
#include "grammar/schema_keywords.h"

namespace veloz::grammar {
namespace {

/// Whether the schema limits values by itself, without what it refers to.
bool limits_values(const JsonValue& schema, const SchemaPart& part) {
  if (schema.is(JsonValue::Type::boolean)) return !schema.boolean;
  return std::any_of(schema.members.begin(), schema.members.end(), [&](const auto& member) {
    if (member.first == "anyOf") return !part.has_picked_any_of;
    if (member.first == "oneOf") return !part.has_picked_one_of;
    const KeywordUse use = use_of(member.first);
    return use == KeywordUse::understood || use == KeywordUse::refused;
  });
}

}  // namespace

SchemaSet SchemaMerger::resolved(const SchemaSet& set) {
  Resolution resolution;
  for (const SchemaPart& part : set) resolve(part, resolution);
  std::sort(resolution.parts.begin(), resolution.parts.end());
  resolution.parts.erase(std::unique(resolution.parts.begin(), resolution.parts.end()),
                         resolution.parts.end());
  return std::move(resolution.parts);
}

void SchemaMerger::resolve(const SchemaPart& part, Resolution& resolution) {
  budget_.tick();
  const JsonValue& schema = document_.value(part.schema);
  auto& path = resolution.path;
  if (!part.is_resolved) {
    if (std::find(path.begin(), path.end(), part.schema) != path.end())
      document_.refuse(document_.pointer(part.schema),
                       "the schema refers to itself without a step in between");
    if (!resolution.seen.insert(part).second) return;
    budget_.check_depth(static_cast<int64_t>(path.size()));
    refuse_embedded(part.schema);
    path.push_back(part.schema);
    if (const JsonValue* reference = schema.find("$ref"))
      resolve({.schema = document_.resolve(part.schema, *reference)}, resolution);
    if (const JsonValue* all = schema.find("allOf"))
      for (const SchemaId id : read_schemas(document_, part.schema, "allOf", *all))
        resolve({.schema = id}, resolution);
    path.pop_back();
  }
  SchemaPart own = part;
  own.is_resolved = true;
  if (limits_values(schema, own)) resolution.parts.push_back(own);
}

/// References in a schema with a name of its own would mean places in it.
void SchemaMerger::refuse_embedded(SchemaId schema) {
  const JsonValue* id = document_.value(schema).find("$id");
  if (id == nullptr || !id->is(JsonValue::Type::string) || document_.pointer(schema).empty())
    return;
  document_.refuse(document_.pointer(schema, "$id"), "schemas embedded in others are not supported",
                   "leave out its \"$id\"");
}

MergedSchema SchemaMerger::merged(const SchemaSet& set) {
  MergedSchema result;
  for (const SchemaPart& part : set) {
    budget_.tick();
    KeywordReader(document_, part, result).read();
  }
  if (result.text_length.min > result.text_length.max) result.types.bits &= ~TypeSet::kString;
  if (result.num_items.min > result.num_items.max) result.types.bits &= ~TypeSet::kArray;
  if (result.num_members.min > result.num_members.max) result.types.bits &= ~TypeSet::kObject;
  return result;
}

}  // namespace veloz::grammar
