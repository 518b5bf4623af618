// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "grammar/grammar_builder.h"
#include "grammar/pattern_reader.h"
#include "text/utf8.h"

namespace veloz::grammar {
namespace {

constexpr uint32_t kMaxRuleRepeat = 1'000'000'000;
constexpr std::string_view kBlanks = " \t\r";
constexpr std::string_view kBlanksAndLines = " \t\r\n";
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// GBNF, as llama.cpp and xgrammar read it: rules `name ::= ...`, of which "root" is the text.
class EbnfParser {
 public:
  EbnfParser(std::string_view source, GrammarBuilder& builder)
      : reader_(source, PatternReader::Source::grammar),
        builder_(builder),
        e_(builder.expressions()) {}

  RuleId parse() {
    for (skip_space(); !reader_.at_end(); skip_space()) parse_rule();
    for (const auto& [name, rule] : rules_)
      if (!builder_.is_defined(rule.id))
        reader_.refuse(rule.first_use, fmt::format("the rule \"{}\" is not defined", name));
    if (!rules_.contains("root")) reader_.refuse("there is no rule \"root\"");
    return rules_["root"].id;
  }

 private:
  struct Rule {
    RuleId id{};
    size_t first_use = 0;
  };

  void parse_rule() {
    const size_t offset = reader_.offset();
    const std::string name = take_name();
    if (name.empty()) reader_.refuse("a rule begins with its name, as in: root ::= \"a\" | \"b\"");
    reader_.skip_all(kBlanks);
    if (!reader_.rest().starts_with("::="))
      reader_.refuse(fmt::format("after \"{}\" comes \"::=\"; only GBNF is understood", name));
    reader_.skip(3);
    const RuleId rule = rule_named(name, offset);
    if (builder_.is_defined(rule))
      reader_.refuse(offset, fmt::format("the rule \"{}\" is defined twice", name));
    builder_.define(rule, parse_choice(0));
  }

  ExpressionId parse_choice(int64_t depth) {
    builder_.budget().check_depth(depth);
    std::vector<ExpressionId> ways;
    do {
      ways.push_back(parse_sequence(depth));
    } while (reader_.try_take('|'));
    if (depth == 0 && !reader_.at_end() && !at_rule())
      reader_.refuse(reader_.peek() == ')' ? "\")\" closes no group"
                                           : fmt::format("unexpected \"{}\"", reader_.peek()));
    return e_.choice(std::move(ways));
  }

  ExpressionId parse_sequence(int64_t depth) {
    std::vector<ExpressionId> parts;
    for (skip_space(); at_element(); skip_space()) {
      builder_.budget().tick();
      parts.push_back(parse_repeats(parse_element(depth), depth));
    }
    return parts.empty() ? e_.literal("") : e_.sequence(std::move(parts));
  }

  bool at_element() {
    const char c = reader_.peek();
    if (reader_.at_end() || c == '|' || c == ')') return false;
    return c == '"' || c == '[' || c == '(' || c == '.' || (is_name_character(c) && !at_rule());
  }

  /// Whether a name and "::=" come next.
  bool at_rule() const {
    PatternReader ahead = reader_;
    const size_t before = ahead.offset();
    ahead.skip_all(kNameCharacters);
    if (ahead.offset() == before) return false;
    ahead.skip_all(kBlanks);
    return ahead.rest().starts_with("::=");
  }

  ExpressionId parse_element(int64_t depth) {
    const size_t offset = reader_.offset();
    switch (reader_.peek()) {
      case '"':
        return parse_literal();
      case '[':
        return parse_class();
      case '.':
        reader_.skip(1);
        return e_.characters(CodePointSet::all());
      case '(': {
        reader_.skip(1);
        const ExpressionId group = parse_choice(depth + 1);
        if (!reader_.try_take(')')) reader_.refuse(offset, "a group is not closed");
        return group;
      }
      default:
        return e_.call(rule_named(take_name(), offset));
    }
  }

  ExpressionId parse_repeats(ExpressionId part, int64_t depth) {
    while (true) {
      builder_.budget().check_depth(depth++);
      reader_.skip_all(kBlanks);
      if (reader_.try_take('*'))
        part = e_.repeat(part, 0, kUnbounded);
      else if (reader_.try_take('+'))
        part = e_.repeat(part, 1, kUnbounded);
      else if (reader_.try_take('?'))
        part = e_.repeat(part, 0, 1);
      else if (reader_.peek() == '{')
        part = parse_bounds(part);
      else
        return part;
    }
  }

  /// {m}, {m,} or {m,n}; {,n} is from none.
  ExpressionId parse_bounds(ExpressionId part) {
    const size_t offset = reader_.offset();
    reader_.skip(1);
    const std::string low = take_all(kDigits);
    const bool has_comma = take_after_blanks(',');
    const std::string high = has_comma ? take_all(kDigits) : low;
    if (!take_after_blanks('}') || (low.empty() && high.empty()))
      reader_.refuse(offset, "a repetition is {2}, {2,} or {2,5}");
    const uint32_t min = low.empty() ? 0 : number(low, offset);
    const uint32_t max = high.empty() ? kUnbounded : number(high, offset);
    if (min > max) reader_.refuse(offset, "a repetition has its bounds reversed");
    return e_.repeat(part, min, max);
  }

  bool take_after_blanks(char c) {
    reader_.skip_all(kBlanks);
    const bool is_there = reader_.try_take(c);
    reader_.skip_all(kBlanks);
    return is_there;
  }

  uint32_t number(const std::string& digits, size_t offset) {
    if (digits.size() > 10 || std::stoull(digits) > kMaxRuleRepeat)
      reader_.refuse(offset, fmt::format("at most {} repetitions are taken", kMaxRuleRepeat));
    return static_cast<uint32_t>(std::stoul(digits));
  }

  ExpressionId parse_literal() {
    const size_t offset = reader_.offset();
    reader_.skip(1);
    std::string text;
    while (!reader_.try_take('"')) {
      if (reader_.at_end() || reader_.peek() == '\n')
        reader_.refuse(offset, "a literal is not closed");
      text::append_code_point(text, take_character());
    }
    return e_.literal(text);
  }

  ExpressionId parse_class() {
    const size_t offset = reader_.offset();
    reader_.skip(1);
    const bool is_negated = reader_.try_take('^');
    std::vector<CodePointSet::Range> ranges;
    while (!reader_.try_take(']')) {
      builder_.budget().tick();
      if (reader_.at_end() || reader_.peek() == '\n')
        reader_.refuse(offset, "a class is not closed");
      const uint32_t first = take_character();
      uint32_t last = first;
      if (reader_.peek() == '-' && !reader_.rest().starts_with("-]")) {
        reader_.skip(1);
        last = take_character();
      }
      if (last < first) reader_.refuse(offset, "a range has its ends reversed");
      ranges.emplace_back(first, last);
    }
    const CodePointSet set(std::move(ranges));
    if (set.empty() && !is_negated) reader_.refuse(offset, "an empty class matches nothing");
    return e_.characters(is_negated ? set.complement() : set);
  }

  /// One, or an escape for one.
  uint32_t take_character() {
    const size_t offset = reader_.offset();
    if (!reader_.try_take('\\')) return reader_.take_code_point();
    const char c = reader_.peek();
    reader_.skip(1);
    uint32_t code_point = 0;
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        code_point = reader_.take_hex(2);
        break;
      case 'u':
        code_point = reader_.take_hex(4);
        break;
      case 'U':
        code_point = reader_.take_hex(8);
        break;
      default:
        if (std::string_view("\\\"[]-^'/").find(c) == std::string_view::npos)
          reader_.refuse(offset, fmt::format("the escape \"\\{}\" is not known", c));
        return static_cast<uint32_t>(c);
    }
    if (!CodePointSet::all().contains(code_point))
      reader_.refuse(offset, "an escape names no character");
    return code_point;
  }

  /// White space and comments, lines too: where a rule ends is seen by the next one's "::=".
  void skip_space() {
    reader_.skip_all(kBlanksAndLines);
    while (reader_.peek() == '#') {
      while (!reader_.at_end() && reader_.peek() != '\n') reader_.skip(1);
      reader_.skip_all(kBlanksAndLines);
    }
  }

  static bool is_name_character(char c) {
    return kNameCharacters.find(c) != std::string_view::npos;
  }
  std::string take_name() { return take_all(kNameCharacters); }
  std::string take_all(std::string_view characters) {
    const std::string_view before = reader_.rest();
    reader_.skip_all(characters);
    return std::string(before.substr(0, before.size() - reader_.rest().size()));
  }

  RuleId rule_named(const std::string& name, size_t offset) {
    const auto found = rules_.find(name);
    if (found != rules_.end()) return found->second.id;
    return rules_.emplace(name, Rule{builder_.declare(), offset}).first->second.id;
  }

  PatternReader reader_;
  GrammarBuilder& builder_;
  Expressions& e_;
  std::map<std::string, Rule> rules_;
};

}  // namespace

GrammarPtr compile_ebnf(std::string_view source, const CompileLimits& limits) {
  GrammarBuilder builder(limits);
  builder.budget().check_source(source);
  return builder.finish(EbnfParser(source, builder).parse());
}

}  // namespace veloz::grammar
