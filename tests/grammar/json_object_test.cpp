// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "grammar_texts.h"

namespace veloz::grammar {
namespace {

using test::expect_texts;

TEST(JsonObjectGrammar, TakesObjectsOfAnyValues) {
  expect_texts(compile_json_object(),
               {.in = {"{}", R"({"a":1})", R"({"a": [1, -2.5e+10, true, null], "b": {"c": "d"}})",
                       R"({"":[[],[{}],{"x":{}}]})", "{\n  \"a\": 1,\n  \"b\": [\n\t2\n  ]\n}"},
                .out = {"", "[]", "1", "{", "{}}", R"({"a"})", R"({"a":})", R"({a:1})",
                        R"({"a":1,})", R"({"a":[1,]})", R"({"a":01})", R"({"a":1.})", R"({"a":.5})",
                        R"({"a":+1})", R"({"a":tru})", R"({"a":1 "b":2})"}});
}

TEST(JsonObjectGrammar, TakesStringsAsRfc8259HasThem) {
  const auto in_object = [](const std::string& string) { return "{\"a\":\"" + string + "\"}"; };
  expect_texts(
      compile_json_object(),
      {.in = {in_object("é€😀"), in_object(R"(\"\\\/\b\f\n\r\t\u00e9)"),
              in_object(R"(\ud83d\uDE00)"), in_object("\x7f")},
       .out = {in_object("\n"), in_object("\x01"), in_object("\\x"), in_object("\\u12g4"),
               in_object(R"(\ud83d)"), in_object(R"(\ude00)"), in_object(R"(\ud83d\ud83d)"),
               in_object("\xc3"), in_object("\xff"), in_object("\"")}});
}

TEST(JsonObjectGrammar, LimitsWhiteSpace) {
  expect_texts(compile_json_object(),
               {.in = {"{ }", "{\n}", "{ \"a\": [ 1, 2 ] }", "{\n" + std::string(64, ' ') + "}"},
                .out = {" {}", "{} ", "{  }", "{\n\n}", "{\"a\" :1}", "{\"a\":  1}",
                        "{\"a\":1 ,\"b\":2}", "{\n" + std::string(65, ' ') + "}", "{\r\n}"}});
}

TEST(JsonObjectGrammar, NestsAsDeepAsTheTextGoes) {
  std::string deep;
  for (int i = 0; i < 500; ++i) deep += "{\"a\":[";
  deep += "1";
  for (int i = 0; i < 500; ++i) deep += "]}";
  EXPECT_TRUE(test::accepts(compile_json_object(), deep));
  EXPECT_FALSE(test::accepts(compile_json_object(), deep + "}"));
}

TEST(JsonObjectGrammar, BoundsTheDigitsOfNumbers) {
  const auto number = [](const std::string& text) { return "{\"a\":" + text + "}"; };
  expect_texts(compile_json_object(),
               {.in = {number(std::string(20, '9')), number("0." + std::string(20, '3')),
                       number("-1.5E-30")},
                .out = {number(std::string(21, '9')), number("0." + std::string(21, '3')),
                        number("1e100")}});
}

}  // namespace
}  // namespace veloz::grammar
