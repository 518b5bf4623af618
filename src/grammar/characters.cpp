// SPDX-License-Identifier: Apache-2.0
#include "grammar/characters.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace veloz::grammar {
namespace {

const CodePointSet kEscapedInJson = {{0x00, 0x1f}, {'"', '"'}, {'\\', '\\'}};

std::string escape_of(uint32_t code_point) {
  switch (code_point) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", code_point);
  }
}

}  // namespace

ExpressionId one_of(Expressions& expressions, const CodePointSet& characters, Spelling spelling) {
  if (spelling == Spelling::plain) return expressions.characters(characters);
  std::vector<ExpressionId> ways;
  const CodePointSet plain = characters.without(kEscapedInJson);
  if (!plain.empty()) ways.push_back(expressions.characters(plain));
  for (const auto& [first, last] : kEscapedInJson.ranges())
    for (uint32_t code_point = first; code_point <= last; ++code_point)
      if (characters.contains(code_point))
        ways.push_back(expressions.literal(escape_of(code_point)));
  return ways.empty() ? expressions.nothing() : expressions.choice(std::move(ways));
}

std::string json_spelling(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || c == '"' || c == '\\')
      result += escape_of(byte);
    else
      result += c;
  }
  return result;
}

}  // namespace veloz::grammar
