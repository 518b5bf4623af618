// SPDX-License-Identifier: Apache-2.0
#include "grammar/json_rules.h"

#include "grammar/regex.h"

namespace veloz::grammar {
namespace {

constexpr uint32_t kMaxIndent = 64;
constexpr const char* kIntegerPattern = "-?(0|[1-9][0-9]{0,19})";
constexpr const char* kFractionPattern = R"((\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?)";
/// As RFC 8259 has it, but surrogates in pairs only.
constexpr const char* kCharacterPattern =
    R"([^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u([0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}|)"
    R"([dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))";

}  // namespace

ExpressionId JsonRules::gap() {
  if (!gap_) {
    Expressions& e = builder_.expressions();
    const ExpressionId indent = e.repeat(e.characters({{' ', ' '}, {'\t', '\t'}}), 0, kMaxIndent);
    gap_ = e.choice({e.literal(""), e.literal(" "), e.sequence({e.literal("\n"), indent})});
  }
  return *gap_;
}

ExpressionId JsonRules::colon() {
  if (!colon_) {
    Expressions& e = builder_.expressions();
    colon_ = e.choice({e.literal(":"), e.literal(": ")});
  }
  return *colon_;
}

ExpressionId JsonRules::enclosed(const char* open, ExpressionId inside, const char* close) {
  Expressions& e = builder_.expressions();
  return e.sequence(
      {e.literal(open), gap(), e.optional(e.sequence({inside, gap()})), e.literal(close)});
}

ExpressionId JsonRules::comma_separated(ExpressionId item) {
  Expressions& e = builder_.expressions();
  const ExpressionId more = e.sequence({e.literal(","), gap(), item});
  return e.sequence({item, e.repeat(more, 0, kUnbounded)});
}

RuleId JsonRules::value() {
  if (!value_) {
    value_ = builder_.declare();
    Expressions& e = builder_.expressions();
    builder_.define(*value_, e.choice({e.call(object()), e.call(array()), e.call(string()),
                                       e.call(number()), boolean(), null()}));
  }
  return *value_;
}

RuleId JsonRules::object() {
  if (!object_) {
    object_ = builder_.declare();
    Expressions& e = builder_.expressions();
    const ExpressionId member = e.sequence({e.call(string()), colon(), e.call(value())});
    builder_.define(*object_, enclosed("{", comma_separated(member), "}"));
  }
  return *object_;
}

RuleId JsonRules::array() {
  if (!array_) {
    array_ = builder_.declare();
    builder_.define(*array_,
                    enclosed("[", comma_separated(builder_.expressions().call(value())), "]"));
  }
  return *array_;
}

RuleId JsonRules::string() {
  if (!string_) {
    string_ = builder_.declare();
    Expressions& e = builder_.expressions();
    builder_.define(*string_,
                    e.sequence({e.literal("\""), e.repeat(string_character(), 0, kUnbounded),
                                e.literal("\"")}));
  }
  return *string_;
}

ExpressionId JsonRules::string_character() {
  if (!string_character_)
    string_character_ =
        regex_expression(builder_, kCharacterPattern, RegexMatch::whole_text, Spelling::plain);
  return *string_character_;
}

RuleId JsonRules::number() {
  if (!number_) {
    number_ = builder_.declare();
    builder_.define(*number_,
                    regex_expression(builder_, std::string(kIntegerPattern) + kFractionPattern,
                                     RegexMatch::whole_text, Spelling::plain));
  }
  return *number_;
}

RuleId JsonRules::integer() {
  if (!integer_) {
    integer_ = builder_.declare();
    builder_.define(*integer_, regex_expression(builder_, kIntegerPattern, RegexMatch::whole_text,
                                                Spelling::plain));
  }
  return *integer_;
}

ExpressionId JsonRules::null() { return builder_.expressions().literal("null"); }

ExpressionId JsonRules::boolean() {
  Expressions& e = builder_.expressions();
  return e.choice({e.literal("true"), e.literal("false")});
}

GrammarPtr compile_json_object(const CompileLimits& limits) {
  GrammarBuilder builder(limits);
  return builder.finish(JsonRules(builder).object());
}

}  // namespace veloz::grammar
