// SPDX-License-Identifier: Apache-2.0
#include "text/regex.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "text/regex_syntax.h"

namespace veloz::text {
namespace {

using veloz::test::throws_error;

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  std::vector<std::string> found;
  for (const Regex::Range& range : Regex(pattern).find_all(text))
    found.push_back(text.substr(range.begin, range.end - range.begin));
  return found;
}

using Texts = std::vector<std::string>;

TEST(Regex, WhiteSpaceIsThatOfUnicode) {
  EXPECT_EQ(matches("\\s+", "a \u00a0\u3000b\u180ec\u200bd"), (Texts{" \u00a0\u3000"}));
  EXPECT_EQ(matches("[^\\sa]+", "a\u2003b\u180e"), (Texts{"b\u180e"}));
  EXPECT_EQ(matches("\\S", "\u0085\u180e"), (Texts{"\u180e"}));
}

TEST(Regex, WordsHaveMarksAndConnectors) {
  EXPECT_EQ(matches("\\w+", "e\u0301_\u203f9 \u24b6\u00b2"), (Texts{"e\u0301_\u203f9", "\u24b6"}));
  EXPECT_EQ(matches("\\W+", "a\u00b2!b"), (Texts{"\u00b2!"}));
  EXPECT_EQ(matches("[\\w-]+", "a-\u0301!"), (Texts{"a-\u0301"}));
}

TEST(Regex, LinesBeginAndEndAtEachNewline) {
  EXPECT_EQ(matches("^a$", "a\na\nb"), (Texts{"a", "a"}));
}

TEST(Regex, AnEmptyMatchStandsWhereNoMatchEnds) {
  const auto ranges = Regex("a*").find_all("baab");
  std::vector<std::pair<size_t, size_t>> places;
  for (const Regex::Range& range : ranges) places.emplace_back(range.begin, range.end);
  EXPECT_EQ(places, (std::vector<std::pair<size_t, size_t>>{{0, 0}, {1, 3}, {4, 4}}));
  EXPECT_EQ(Regex("x?").find_all("\u4f60").size(), 2u);
}

TEST(Regex, ConstructsWithTwoReadingsAreRefusedByName) {
  for (const auto& [pattern, name] :
       std::vector<std::pair<const char*, const char*>>{{"a\\b", "\"\\b\""},
                                                        {"\\h+", "\"\\h\""},
                                                        {"[a&&b]", "\"&&\""},
                                                        {"[a[b]]", "\"[ inside [ ]\""},
                                                        {"[^\\W]", "\"[\\W]\""},
                                                        {"(?m:.)", "\"(?m\""},
                                                        {"a{2,3}+", "\"{n}+\""}})
    EXPECT_TRUE(throws_error(ErrorKind::unsupported, {name}, [&, p = pattern] { Regex regex(p); }))
        << pattern;
}

TEST(Regex, WhatBothReadAlikeStaysAsItIs) {
  for (const char* pattern : {"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+", "(?i:'s|'t)", "a++", "[]a]",
                              "[[:alpha:]]", "\\[\\]", "a{2}"})
    EXPECT_EQ(to_pcre2_syntax(pattern), pattern);
}

TEST(Regex, AnEscapedTextMatchesJustItself) {
  const std::string text = "a.b*c+(d)[e]{2}|^$\\s#-? \u4f60";
  EXPECT_EQ(matches(escape_regex(text), "x" + text + "x"), Texts{text});
}

TEST(Regex, CatastrophicBacktrackingEndsWithAnError) {
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"limit"}, [] {
    Regex("(?:x|xx|xxx)+y").find_all(std::string(5000, 'x') + "zy");
  }));
}

}  // namespace
}  // namespace veloz::text
