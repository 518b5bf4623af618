// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "grammar_texts.h"
#include "support/expect_error.h"

namespace veloz::grammar {
namespace {

using test::allowed_tokens;
using test::kEnd;
using Ids = std::vector<int32_t>;

GrammarPtr yes_or_no() {
  const std::string choices[] = {"yes", "no", "yesterday"};
  return compile_choice(choices);
}

TEST(ChoiceGrammar, TakesExactlyTheChoices) {
  test::expect_texts(yes_or_no(), {.in = {"yes", "no", "yesterday"},
                                   .out = {"", "y", "yest", "noo", "yesno", "Yes"}});
  EXPECT_TRUE(veloz::test::throws_error(ErrorKind::invalid_input, {"at least one"},
                                        [] { compile_choice({}); }));
  const std::string broken[] = {"a", "\xff"};
  EXPECT_TRUE(veloz::test::throws_error(ErrorKind::invalid_input, {"choice 1"},
                                        [&] { compile_choice(broken); }));
}

TEST(Matcher, AllowsTokensThatGoOnWithTheText) {
  const auto vocabulary = test::vocabulary_with({"yes", "ye", "yesterday", "no", "now", "ster"});
  Matcher matcher(yes_or_no(), vocabulary);
  EXPECT_EQ(allowed_tokens(matcher, 263), (Ids{'n', 'y', 257, 258, 259, 260}));
  EXPECT_FALSE(matcher.accept(261));
  EXPECT_TRUE(matcher.accept(258));
  EXPECT_EQ(allowed_tokens(matcher, 263), (Ids{'s', 262}));
  EXPECT_TRUE(matcher.accept(262));
  EXPECT_EQ(allowed_tokens(matcher, 263), (Ids{'d'}));
}

TEST(Matcher, AllowsTheEndExactlyWhereTheTextMayEnd) {
  Matcher matcher(yes_or_no(), test::vocabulary_with({"yes", "terday"}));
  EXPECT_FALSE(matcher.accept(kEnd));
  EXPECT_FALSE(matcher.is_finished());
  EXPECT_TRUE(matcher.accept(257));
  EXPECT_EQ(allowed_tokens(matcher, 259), (Ids{'t', kEnd, 258}));
  EXPECT_FALSE(matcher.is_finished());
  EXPECT_TRUE(matcher.accept(258));
  EXPECT_TRUE(matcher.is_finished());
  EXPECT_EQ(allowed_tokens(matcher, 259), (Ids{kEnd}));
  EXPECT_TRUE(matcher.accept(kEnd));
  EXPECT_TRUE(matcher.is_finished());
  EXPECT_EQ(allowed_tokens(matcher, 259), (Ids{}));
  EXPECT_FALSE(matcher.accept(kEnd));
}

TEST(Matcher, NeverAllowsTokensWithoutTextOrBeyondTheVocabulary) {
  Matcher matcher(compile_regex("(a|b)*"), test::vocabulary_with({"", "ab"}));
  EXPECT_EQ(allowed_tokens(matcher, 259), (Ids{'a', 'b', kEnd, 258}));
  EXPECT_FALSE(matcher.accept(257));
  EXPECT_FALSE(matcher.accept(-1));
  EXPECT_FALSE(matcher.accept(259));
}

TEST(Matcher, TakesTokensThatArePartsOfCharacters) {
  const auto vocabulary = test::vocabulary_with({"\xc3", "\xa9!", "\xe2\x82", "\x82\xac"});
  Matcher matcher(compile_regex("[é€]!?"), vocabulary);
  EXPECT_EQ(allowed_tokens(matcher, 261), (Ids{0xc3, 0xe2, 257, 259}));
  EXPECT_TRUE(matcher.accept(257));
  EXPECT_EQ(allowed_tokens(matcher, 261), (Ids{0xa9, 258}));
  EXPECT_TRUE(matcher.accept(258));
  EXPECT_TRUE(matcher.is_finished());
}

TEST(Matcher, GoesBackExactly) {
  const auto vocabulary = test::vocabulary_with({"{\"", "\":", "a\":[", "]}", "[[", "1,"});
  Matcher matcher(compile_json_object(), vocabulary);
  const Ids tokens = {257, 259, '[', 262, '2', ']', ',', '3', 260, kEnd};
  std::vector<Ids> masks;
  for (const int32_t token : tokens) {
    masks.push_back(allowed_tokens(matcher, 263));
    ASSERT_TRUE(matcher.accept(token)) << token;
  }
  // Some other way in between, which must leave no trace.
  matcher.rollback(7);
  EXPECT_EQ(allowed_tokens(matcher, 263), masks[3]);
  for (const int32_t token : {int32_t{'"'}, int32_t{'x'}, int32_t{'"'}, int32_t{']'}})
    ASSERT_TRUE(matcher.accept(token));
  matcher.rollback(4);
  for (size_t i = 3; i < tokens.size(); ++i) {
    EXPECT_EQ(allowed_tokens(matcher, 263), masks[i]) << i;
    ASSERT_TRUE(matcher.accept(tokens[i])) << i;
  }
  matcher.rollback(static_cast<int64_t>(tokens.size()));
  EXPECT_EQ(allowed_tokens(matcher, 263), masks[0]);
}

TEST(Matcher, StaysAsItWasWhenATokenIsRefused) {
  const auto vocabulary = test::vocabulary_with({"{\"a\":tru]", "{\"a\":"});
  Matcher matcher(compile_json_object(), vocabulary);
  const Ids before = allowed_tokens(matcher, 259);
  EXPECT_FALSE(matcher.accept(257));
  EXPECT_EQ(allowed_tokens(matcher, 259), before);
  EXPECT_TRUE(matcher.accept(258));
}

}  // namespace
}  // namespace veloz::grammar
