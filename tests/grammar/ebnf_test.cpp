// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/files.h"
#include "grammar_texts.h"
#include "support/expect_error.h"

namespace veloz::grammar {
namespace {

using test::expect_texts;
using veloz::test::throws_error;

TEST(EbnfGrammar, TakesRulesClassesGroupsAndRepetitions) {
  expect_texts(compile_ebnf(R"gbnf(
    # a comment
    root  ::= greeting ", " name ("!" | "." {1,2})? # another
    greeting ::= "hello" | "hi"
    name ::= [A-Z] [a-z-]* [^ -~]?
  )gbnf"),
               {.in = {"hello, Ann", "hi, B-b!", "hi, Aé.."},
                .out = {"hello, ann", "hi Ann", "hi, A!!", "hi, A!x"}});
}

TEST(EbnfGrammar, KnowsItsEscapes) {
  expect_texts(compile_ebnf(R"(root ::= "\n\t\r\\\"\x41\u00e9\U0001f600" [\]\[\-x] .)"),
               {.in = {"\n\t\r\\\"Aé😀]é", "\n\t\r\\\"Aé😀-\n"}, .out = {"\n"}});
}

TEST(EbnfGrammar, ReadsRulesOverSeveralLines) {
  expect_texts(
      compile_ebnf("root ::= \"a\" |\n  \"b\"\n  | (\n\"c\"\n other)\n\nother ::= \"d\"\n"),
      {.in = {"a", "b", "cd"}, .out = {"c", "d"}});
  expect_texts(compile_ebnf("root ::= \"a\" |"), {.in = {"a", ""}, .out = {"b"}});
}

TEST(EbnfGrammar, Recurses) {
  expect_texts(compile_ebnf(R"g(root ::= "(" root ")" | "x")g"),
               {.in = {"x", "((x))"}, .out = {"(x", "x)", "()"}});
  expect_texts(compile_ebnf(R"(root ::= "a" root "b" | "a" root "c" | "")"),
               {.in = {"", "ab", "aacb", std::string(300, 'a') + std::string(300, 'c')},
                .out = {"a", "ba", "aab"}});
  expect_texts(compile_ebnf("root ::= item | item \",\" root\nitem ::= [0-9]+"),
               {.in = {"1", "1,22,3"}, .out = {"", "1,", ",1"}});
}

TEST(EbnfGrammar, RecursesOnTheLeft) {
  expect_texts(compile_ebnf(R"g(
    root ::= root "+" term | term
    term ::= term "*" atom | atom
    atom ::= [0-9] | "(" root ")"
  )g"),
               {.in = {"1", "1+2*3", "(1+2)*3+4"}, .out = {"+1", "1+", "(1", ""}});
  expect_texts(compile_ebnf("root ::= root root | \"a\" | \"\""),
               {.in = {"", "a", "aaaa"}, .out = {"b"}});
}

TEST(EbnfGrammar, TakesTheJsonGrammarThatPeopleUse) {
  expect_texts(compile_ebnf(R"gbnf(
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws
string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4})
  )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
)gbnf"),
               {.in = {R"({"a": [1, -2.5, {"b": null}], "c": "\u00e9x"})"},
                .out = {"[]", R"({"a":})", R"({"a": tru})"}});
}

TEST(EbnfGrammar, TakesTheGrammarOfTheDocumentation) {
  const auto path =
      std::filesystem::path(VELOZ_TEST_DATA_DIR) / ".." / "docs" / "structured-output.md";
  const std::string page = read_text_file(path, /*max_bytes=*/1 << 20);
  const size_t begin = page.find("```\nroot") + 4;
  const std::string grammar = page.substr(begin, page.find("```", begin) - begin);
  expect_texts(compile_ebnf(grammar),
               {.in = {"a + (b*2) = 12\n", "x = y\nz = 1\n"}, .out = {"a +\n", "x = y"}});
}

TEST(EbnfGrammar, CountsLongRepetitions) {
  const std::string many(1000, 'a');
  expect_texts(compile_ebnf("root ::= \"<\" [a-z]{2,1000} \">\""),
               {.in = {"<ab>", "<" + many + ">"}, .out = {"<a>", "<" + many + "a>"}});
  expect_texts(compile_ebnf("root ::= (word \",\"){3,500}\nword ::= [a-z]+"),
               {.in = {"a,bc,d,"}, .out = {"a,b,"}});
}

struct BadGrammar {
  const char* source;
  const char* where;
};

class BadGrammars : public ::testing::TestWithParam<BadGrammar> {};

TEST_P(BadGrammars, AreRefusedWithTheirLine) {
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {GetParam().where}, [] {
    compile_ebnf(GetParam().source);
  })) << GetParam().source;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadGrammars,
    ::testing::Values(
        BadGrammar{"", "\"root\""}, BadGrammar{"a ::= \"x\"", "\"root\""},
        BadGrammar{"root ::= \"a\"\n\nother ::= b\n", "line 3"},
        BadGrammar{"root ::= \"a\"\nroot ::= \"b\"", "line 2"},
        BadGrammar{"root ::= \"a", "line 1"}, BadGrammar{"root ::= [a", "line 1"},
        BadGrammar{"root ::= []", "empty class"}, BadGrammar{"root ::=\n(\"a\"", "line 2"},
        BadGrammar{"root ::= \"a\")", "closes no group"}, BadGrammar{"root ::= \"\\q\"", "\\q"},
        BadGrammar{"root ::= \"\\ud800\"", "no character"},
        BadGrammar{"root ::= [z-a]", "reversed"}, BadGrammar{"root ::= \"a\"{3,2}", "reversed"},
        BadGrammar{"root ::= \"a\"{}", "repetition"},
        BadGrammar{"root ::= \"a\"{99999999999}", "repetitions"},
        BadGrammar{"root ::= 'a'", "unexpected"}, BadGrammar{"start: \"a\"", "only GBNF"},
        BadGrammar{"root ::= \"a\" root", "no text"}, BadGrammar{"root ::= \"\xff\"", "no UTF-8"},
        BadGrammar{"root ::= %", "unexpected"}));

TEST(EbnfGrammar, RefusesTextsThatCanBeReadInTooManyWays) {
  Matcher matcher(compile_ebnf("root ::= root root | \"a\""), test::byte_vocabulary());
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"too many ways"}, [&] {
    for (int i = 0; i < 3000; ++i) ASSERT_TRUE(matcher.accept('a')) << i;
  }));
}

}  // namespace
}  // namespace veloz::grammar
