// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_strings.h"

#include <optional>
#include <utility>
#include <vector>

#include "grammar/characters.h"
#include "grammar/dfa_shape.h"
#include "grammar/schema_compiler.h"
#include "text/utf8.h"

namespace veloz::grammar {
namespace {

ExpressionId quoted(Expressions& e, ExpressionId inside) {
  return e.sequence({e.literal("\""), inside, e.literal("\"")});
}

bool limits_length(const MergedSchema& merged) {
  return merged.text_length.min > 0 || merged.text_length.max != kUnbounded;
}

RegexMatch match_of(const MergedSchema::Text& text) {
  return text.is_format ? RegexMatch::whole_text : RegexMatch::anywhere;
}

const Dfa& strings_matching(SchemaCompiler& compiler, const MergedSchema::Text& text) {
  return compiler.strings_matching(text.regex, match_of(text), text.pointer);
}

/// All that length, patterns and formats say.
Dfa matching_strings(SchemaCompiler& compiler, const MergedSchema& merged) {
  GrammarBuilder& builder = compiler.builder();
  Expressions& e = builder.expressions();
  std::optional<Dfa> all;
  for (const MergedSchema::Text& text : merged.texts) {
    const Dfa& one = strings_matching(compiler, text);
    all = all ? combine(*all, one, Combination::both, builder.budget()) : one;
  }
  const ExpressionId character = one_of(e, CodePointSet::all(), Spelling::json_string);
  if (!all) all = builder.dfa_of(e.repeat(character, 0, kUnbounded));
  if (!limits_length(merged)) return *std::move(all);
  const MergedSchema::Length& length = merged.text_length;
  return with_count(*all, builder.dfa_of(character), length.min, length.max, builder.budget());
}

}  // namespace

ExpressionId write_string(SchemaCompiler& compiler, const MergedSchema& merged) {
  Expressions& e = compiler.expressions();
  const MergedSchema::Length& length = merged.text_length;
  if (merged.texts.empty() && !limits_length(merged)) return e.call(compiler.json().string());
  if (merged.texts.empty())
    return quoted(e, e.repeat(compiler.json().string_character(), length.min, length.max));
  if (merged.texts.size() == 1 && !limits_length(merged))
    return quoted(e, compiler.regex(merged.texts.front().regex, match_of(merged.texts.front()),
                                    merged.texts.front().pointer));
  return quoted(e, e.dfa(matching_strings(compiler, merged)));
}

Dfa allowed_strings(SchemaCompiler& compiler, const MergedSchema& merged) {
  Expressions& e = compiler.expressions();
  if (merged.is_impossible || !merged.types.has(TypeSet::kString)) return {};
  if (!merged.alternatives.empty()) {
    const MergedSchema::Alternatives& offered = merged.alternatives.front();
    compiler.document().refuse(
        compiler.document().pointer(offered.of.schema, offered.is_one_of ? "oneOf" : "anyOf"),
        "alternatives of property names are not supported", "use one pattern or enum");
  }
  if (!merged.values) return matching_strings(compiler, merged);
  std::vector<ExpressionId> names;
  for (const JsonValue* value : *merged.values)
    if (value->is(JsonValue::Type::string) && is_allowed_string(compiler, value->text, merged))
      names.push_back(e.literal(json_spelling(value->text)));
  return names.empty() ? Dfa{} : compiler.builder().dfa_of(e.choice(std::move(names)));
}

bool is_allowed_string(SchemaCompiler& compiler, std::string_view text,
                       const MergedSchema& merged) {
  uint32_t num_characters = 0;
  for (size_t at = 0; at < text.size(); at += text::utf8_length(text.substr(at))) ++num_characters;
  if (num_characters < merged.text_length.min || num_characters > merged.text_length.max)
    return false;
  const std::string spelling = json_spelling(text);
  for (const MergedSchema::Text& one : merged.texts)
    if (!strings_matching(compiler, one).accepts(spelling)) return false;
  return true;
}

}  // namespace veloz::grammar
