// SPDX-License-Identifier: Apache-2.0
#include "grammar/regex_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "grammar/expression.h"
#include "grammar/regex_classes.h"

namespace veloz::grammar {
namespace {

constexpr uint64_t kMaxRegexRepeat = 1'000'000'000;

class RegexParser {
 public:
  RegexParser(std::string_view pattern, Budget& budget) : reader_(pattern), budget_(budget) {}

  RegexNode parse() {
    RegexNode node = parse_choice(0);
    if (!reader_.at_end()) reader_.refuse(reader_.offset(), "\")\" closes no group");
    return node;
  }

 private:
  RegexNode parse_choice(int64_t depth) {
    budget_.check_depth(depth);
    RegexNode choice = {.kind = RegexNode::Kind::choice, .offset = reader_.offset()};
    do {
      choice.parts.push_back(parse_sequence(depth));
    } while (reader_.try_take('|'));
    if (choice.parts.size() > 1) return choice;
    RegexNode only = std::move(choice.parts.front());
    return only;
  }

  RegexNode parse_sequence(int64_t depth) {
    RegexNode sequence = {.offset = reader_.offset()};
    while (!reader_.at_end() && reader_.peek() != '|' && reader_.peek() != ')') {
      budget_.tick();
      budget_.add_memory(sizeof(RegexNode));
      sequence.parts.push_back(parse_quantified(depth));
    }
    return sequence;
  }

  RegexNode parse_quantified(int64_t depth) {
    const size_t offset = reader_.offset();
    RegexNode node = parse_atom(depth);
    const size_t quantifier = reader_.offset();
    if (!take_quantifier(node, offset)) return node;
    const RegexNode::Kind repeated = node.parts.front().kind;
    if (repeated == RegexNode::Kind::text_start || repeated == RegexNode::Kind::text_end)
      reader_.refuse(quantifier, "an anchor cannot be repeated");
    reader_.try_take('?');  // lazy: the same texts
    const size_t second = reader_.offset();
    if (RegexNode none; take_quantifier(none, offset))
      reader_.refuse(second, "a quantifier follows a quantifier");
    return node;
  }

  /// Wraps the node where a quantifier comes next.
  bool take_quantifier(RegexNode& node, size_t offset) {
    uint32_t min = 0;
    uint32_t max = kUnbounded;
    if (reader_.try_take('+'))
      min = 1;
    else if (reader_.try_take('?'))
      max = 1;
    else if (!reader_.try_take('*') && !take_bounds(min, max))
      return false;
    RegexNode repeat = {.kind = RegexNode::Kind::repeat, .offset = offset, .min = min, .max = max};
    repeat.parts.push_back(std::move(node));
    node = std::move(repeat);
    return true;
  }

  /// {m}, {m,} or {m,n}. A brace that opens no such thing is a character.
  bool take_bounds(uint32_t& min, uint32_t& max) {
    const size_t offset = reader_.offset();
    const std::string_view rest = reader_.rest();
    const size_t end = rest.find('}');
    if (rest.empty() || rest.front() != '{' || end == std::string_view::npos) return false;
    const std::string_view bounds = rest.substr(1, end - 1);
    const size_t comma = bounds.find(',');
    const std::string_view low = bounds.substr(0, comma);
    const std::string_view high = comma == std::string_view::npos ? low : bounds.substr(comma + 1);
    const auto is_number = [](std::string_view digits) {
      return std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    };
    if (!is_number(low) || !is_number(high)) return false;
    if (low.empty()) {
      if (comma == std::string_view::npos || high.empty()) return false;
      reader_.refuse(offset, "a repetition needs its lower bound, as in {0,3}");
    }
    min = number(low, offset);
    max = high.empty() ? kUnbounded : number(high, offset);
    if (min > max) reader_.refuse(offset, fmt::format("{{{}}} has its bounds reversed", bounds));
    reader_.skip(end + 1);
    return true;
  }

  uint32_t number(std::string_view digits, size_t offset) {
    uint64_t value = 0;
    for (const char c : digits) {
      value = value * 10 + static_cast<uint64_t>(c - '0');
      if (value > kMaxRegexRepeat)
        reader_.refuse(offset, fmt::format("at most {} repetitions are taken", kMaxRegexRepeat));
    }
    return static_cast<uint32_t>(value);
  }

  RegexNode parse_atom(int64_t depth) {
    const size_t offset = reader_.offset();
    const auto characters = [&](CodePointSet set) {
      return RegexNode{
          .kind = RegexNode::Kind::characters, .offset = offset, .characters = std::move(set)};
    };
    switch (reader_.peek()) {
      case '(':
        return parse_group(depth);
      case '[':
        return characters(parse_class(reader_, budget_));
      case '\\':
        return characters(parse_escape(reader_, EscapePlace::outside_class));
      case '.':
        reader_.skip(1);
        return characters(line_terminators().complement());
      case '^':
        reader_.skip(1);
        return {.kind = RegexNode::Kind::text_start, .offset = offset};
      case '$':
        reader_.skip(1);
        return {.kind = RegexNode::Kind::text_end, .offset = offset};
      case '*':
      case '+':
      case '?':
        reader_.refuse(offset, fmt::format("\"{}\" has nothing to repeat", reader_.peek()));
      default:
        if (uint32_t min = 0, max = 0; take_bounds(min, max))
          reader_.refuse(offset, "a repetition has nothing to repeat");
        const uint32_t code_point = reader_.take_code_point();
        return characters({{code_point, code_point}});
    }
  }

  RegexNode parse_group(int64_t depth) {
    const size_t offset = reader_.offset();
    reader_.skip(1);
    if (reader_.try_take('?')) skip_group_kind(offset);
    RegexNode node = parse_choice(depth + 1);
    if (!reader_.try_take(')')) reader_.refuse(offset, "a group is not closed");
    return node;
  }

  /// After "(?": what makes it a plain group.
  void skip_group_kind(size_t offset) {
    if (reader_.try_take(':')) return;
    reader_.try_take('P');
    const std::string_view rest = reader_.rest();
    const bool is_name = rest.size() > 1 && rest[0] == '<' && rest[1] != '=' && rest[1] != '!';
    const size_t end = rest.find('>');
    if (!is_name || end == std::string_view::npos)
      reader_.refuse(offset, "look-around, flags and other extended groups are not supported");
    reader_.skip(end + 1);
  }

  PatternReader reader_;
  Budget& budget_;
};

}  // namespace

RegexNode parse_regex(std::string_view pattern, Budget& budget) {
  budget.check_source(pattern);
  return RegexParser(pattern, budget).parse();
}

}  // namespace veloz::grammar
