// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "grammar_texts.h"
#include "support/expect_error.h"

namespace veloz::grammar {
namespace {

using test::expect_texts;
using veloz::test::throws_error;

TEST(RegexGrammar, MatchesTheWholeText) {
  expect_texts(compile_regex("ab|cd"),
               {.in = {"ab", "cd"}, .out = {"", "a", "abc", "abcd", "xab"}});
  expect_texts(compile_regex("^ab$|^cd$"), {.in = {"ab", "cd"}, .out = {"abcd"}});
  expect_texts(compile_regex("(^a|b)(c|d$)"), {.in = {"ac", "bd"}, .out = {"a", "ab"}});
  expect_texts(compile_regex(""), {.in = {""}, .out = {"a"}});
}

TEST(RegexGrammar, RepeatsWithinBounds) {
  expect_texts(compile_regex("a*b+c?"), {.in = {"b", "aabbc", "bc"}, .out = {"", "ac", "abcc"}});
  expect_texts(compile_regex("a{2}"), {.in = {"aa"}, .out = {"", "a", "aaa"}});
  expect_texts(compile_regex("a{2,}"), {.in = {"aa", "aaaaaaa"}, .out = {"a"}});
  expect_texts(compile_regex("a{1,3}?b*?c+?"), {.in = {"abc", "aaacc"}, .out = {"aaaac", "ab"}});
  expect_texts(compile_regex("(ab|c){0,2}"), {.in = {"", "abc", "cc"}, .out = {"ccc"}});
  expect_texts(compile_regex("a{0}b"), {.in = {"b"}, .out = {"ab"}});
}

TEST(RegexGrammar, CountsLongRepetitionsExactly) {
  const GrammarPtr grammar = compile_regex("x[a-z]{100,200}y");
  const auto text = [](size_t n) { return "x" + std::string(n, 'q') + "y"; };
  expect_texts(grammar, {.in = {text(100), text(150), text(200)}, .out = {text(99), text(201)}});
  expect_texts(compile_regex("([a-c]{1,60},){2,80}!"),
               {.in = {"a,b,!", std::string(60, 'c') + ",b,!"},
                .out = {"a,!", std::string(61, 'c') + ",b,!"}});
}

TEST(RegexGrammar, CountsWhereTheEndOfTheRepetitionIsInDoubt) {
  const GrammarPtr grammar = compile_regex("[a-z]{60,90}z[a-z]");
  const auto text = [](size_t n) { return std::string(n, 'a') + "zb"; };
  expect_texts(grammar, {.in = {text(60), text(90), std::string(70, 'z')},
                         .out = {text(59), text(91), std::string(100, 'a')}});
}

TEST(RegexGrammar, KnowsClassesAndEscapes) {
  expect_texts(compile_regex("[^a-y]"), {.in = {"z", "é", "€", "😀"}, .out = {"b", "", "zz"}});
  expect_texts(compile_regex(R"([\d\-x\]])"), {.in = {"7", "-", "x", "]"}, .out = {"y", "\\"}});
  expect_texts(compile_regex(R"(\d\D\w\W\s\S)"),
               {.in = {"1a_- b", "1é_é\u3000x"}, .out = {"1a_- "}});
  expect_texts(compile_regex(R"(\x41\u00e9\u{1f600}\ud83d\ude00\t\.\/\0)"),
               {.in = {std::string("Aé😀😀\t./") + '\0'}, .out = {"A"}});
  expect_texts(compile_regex("[a-]"), {.in = {"-", "a"}, .out = {"]", "b"}});
  expect_texts(compile_regex("a{,x}{"), {.in = {"a{,x}{"}, .out = {"a"}});
}

TEST(RegexGrammar, TakesCharactersAsWholeUtf8Sequences) {
  expect_texts(compile_regex("."), {.in = {"a", "é", "€", "😀"},
                                    .out = {"\n", "\r", "\u2028", "\xc3", "\xff", "\xed\xa0\x80"}});
  expect_texts(compile_regex(".{2}"), {.in = {"éa", "😀€"}, .out = {"é", "€"}});
}

TEST(RegexGrammar, TakesGroupsOfAllPlainKinds) {
  expect_texts(compile_regex("(?:a)(?<n>b)(?P<m>c)"), {.in = {"abc"}, .out = {"ab"}});
}

struct BadPattern {
  const char* pattern;
  const char* where;
};

class BadPatterns : public ::testing::TestWithParam<BadPattern> {};

TEST_P(BadPatterns, AreRefusedWithTheirOffset) {
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {GetParam().where}, [] {
    compile_regex(GetParam().pattern);
  })) << GetParam().pattern;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadPatterns,
    ::testing::Values(BadPattern{"a(b", "offset 1"}, BadPattern{"ab)", "offset 2"},
                      BadPattern{"[a", "offset 0"}, BadPattern{"*a", "offset 0"},
                      BadPattern{"a**", "offset 2"}, BadPattern{"a{2}{3}", "offset 4"},
                      BadPattern{"a{3,2}", "offset 1"}, BadPattern{"a{,2}", "offset 1"},
                      BadPattern{"a{99999999999}", "offset 1"}, BadPattern{"(?=a)", "offset 0"},
                      BadPattern{"x(?<!a)", "offset 1"}, BadPattern{"(?i)a", "offset 0"},
                      BadPattern{"(a)\\1", "offset 3"}, BadPattern{"\\bx", "offset 0"},
                      BadPattern{"\\p{L}", "offset 0"}, BadPattern{"a^b", "offset 1"},
                      BadPattern{"(a$)+", "offset 0"}, BadPattern{"^*", "offset 1"},
                      BadPattern{"a\\", "offset 1"}, BadPattern{"[]a]", "offset 0"},
                      BadPattern{"[z-a]", "offset 1"}, BadPattern{"[\\d-z]", "offset 1"},
                      BadPattern{"[[:alpha:]]", "offset 1"}, BadPattern{"\\ud800", "offset 0"},
                      BadPattern{"\\xg0", "offset 2"}, BadPattern{"\xff", "offset 0"},
                      BadPattern{"[^\\s\\S]", "no text"}));

TEST(RegexGrammar, RefusesWhatIsTooLargeWithinItsTime) {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "(";
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"nested deeper than 64"},
                           [&] { compile_regex(deep); }));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"more than"},
                           [] { compile_regex("((a{1,1000}){1,1000}){1,1000}"); }));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"more than"},
                           [] { compile_regex("(a|b)*a(a|b|ab){24}"); }));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"bytes"},
                           [] { compile_regex(std::string(1 << 20, 'a')); }));
}

}  // namespace
}  // namespace veloz::grammar
