// SPDX-License-Identifier: Apache-2.0
#include "grammar/regex_classes.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace veloz::grammar {
namespace {

CodePointSet digits() { return {{'0', '9'}}; }
CodePointSet word_characters() { return {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}; }
/// ECMAScript's WhiteSpace and LineTerminator.
CodePointSet white_space() {
  return {{0x09, 0x0d},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
          {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
}

CodePointSet one(uint32_t code_point) { return {{code_point, code_point}}; }

std::optional<CodePointSet> class_escape(char c) {
  switch (c) {
    case 'd':
      return digits();
    case 'D':
      return digits().complement();
    case 'w':
      return word_characters();
    case 'W':
      return word_characters().complement();
    case 's':
      return white_space();
    case 'S':
      return white_space().complement();
    default:
      return std::nullopt;
  }
}

std::optional<uint32_t> control_escape(char c) {
  switch (c) {
    case 't':
      return '\t';
    case 'n':
      return '\n';
    case 'v':
      return '\v';
    case 'f':
      return '\f';
    case 'r':
      return '\r';
    default:
      return std::nullopt;
  }
}

/// After \u: four digits, a surrogate pair of two such escapes, or {any number}.
uint32_t take_unicode_escape(PatternReader& reader, size_t offset) {
  if (!reader.try_take('{')) {
    const uint32_t unit = reader.take_hex(4);
    if (unit < 0xd800 || unit > 0xdfff) return unit;
    if (unit <= 0xdbff && reader.rest().starts_with("\\u")) {
      reader.skip(2);
      const uint32_t low = reader.take_hex(4);
      if (low >= 0xdc00 && low <= 0xdfff) return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    reader.refuse(offset, "a surrogate is no character");
  }
  uint32_t value = 0;
  do {
    value = value * 16 + reader.take_hex(1);
    if (value > 0x10ffff) reader.refuse(offset, "a code point is at most 10ffff");
  } while (!reader.try_take('}'));
  if (value >= 0xd800 && value <= 0xdfff) reader.refuse(offset, "a surrogate is no character");
  return value;
}

}  // namespace

CodePointSet line_terminators() { return {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}; }

CodePointSet parse_escape(PatternReader& reader, EscapePlace place) {
  const size_t offset = reader.offset();
  reader.skip(1);
  if (reader.at_end()) reader.refuse(offset, "the pattern ends in a backslash");
  const char c = reader.peek();
  if (auto set = class_escape(c)) {
    reader.skip(1);
    return *std::move(set);
  }
  if (const auto code_point = control_escape(c)) {
    reader.skip(1);
    return one(*code_point);
  }
  if (c == 'b' && place == EscapePlace::inside_class) {
    reader.skip(1);
    return one('\b');
  }
  if (reader.try_take('x')) return one(reader.take_hex(2));
  if (reader.try_take('u')) return one(take_unicode_escape(reader, offset));
  if (reader.try_take('0')) {
    if (reader.peek() >= '0' && reader.peek() <= '9')
      reader.refuse(offset, "octal escapes are not supported; write \\x00");
    return one(0);
  }
  const bool is_letter_or_digit =
      (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  if (is_letter_or_digit) reader.refuse(offset, fmt::format("\"\\{}\" is not supported", c));
  return one(reader.take_code_point());
}

CodePointSet parse_class(PatternReader& reader, Budget& budget) {
  const size_t offset = reader.offset();
  reader.skip(1);
  const bool is_negated = reader.try_take('^');
  if (reader.peek() == ']')
    reader.refuse(offset, "an empty class matches nothing; a bracket in a class is written \\]");
  std::vector<CodePointSet::Range> ranges;
  const auto take_member = [&] {
    return reader.peek() == '\\' ? parse_escape(reader, EscapePlace::inside_class)
                                 : one(reader.take_code_point());
  };
  const auto single = [](const CodePointSet& set) {
    return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].second;
  };
  while (!reader.try_take(']')) {
    budget.tick();
    if (reader.at_end()) reader.refuse(offset, "a class is not closed");
    const size_t member_offset = reader.offset();
    if (reader.rest().starts_with("[:"))
      reader.refuse(member_offset, "POSIX classes are not supported");
    const CodePointSet first = take_member();
    const std::string_view rest = reader.rest();
    const bool is_range = rest.size() > 1 && rest[0] == '-' && rest[1] != ']';
    if (!is_range) {
      ranges.insert(ranges.end(), first.ranges().begin(), first.ranges().end());
      continue;
    }
    reader.skip(1);
    const CodePointSet last = take_member();
    if (!single(first) || !single(last))
      reader.refuse(member_offset, "a range goes from one character to another");
    ranges.emplace_back(first.ranges()[0].first, last.ranges()[0].first);
    if (ranges.back().first > ranges.back().second)
      reader.refuse(member_offset, "a range has its ends reversed");
  }
  const CodePointSet set(std::move(ranges));
  return is_negated ? set.complement() : set;
}

}  // namespace veloz::grammar
