// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "grammar_texts.h"
#include "text/tokenizer.h"

namespace veloz::grammar {
namespace {

using test::allowed_tokens;

constexpr std::string_view kSchema = R"({"type":"object","properties":{
    "name":{"type":"string","maxLength":60},"age":{"type":"integer","minimum":3,"maximum":150},
    "list":{"type":"array","items":{"enum":["a",1,null]},"minItems":30,"maxItems":50},
    "code":{"type":"string","pattern":"^[A-Z]+-[0-9]*$"}},
    "required":["name","age","list"],"additionalProperties":{"type":"boolean"}})";
constexpr std::string_view kTree = R"({"type":"object","properties":{"left":{"$ref":"#"},
    "value":{"anyOf":[{"type":"string","minLength":20},{"type":"number"}]},"right":{"$ref":"#"}}})";
constexpr std::string_view kSums = R"g(
    root ::= root "+" term | term
    term ::= word " " | "(" root ")" | word
    word ::= [a-z]{1,300} | [a-z ]+)g";

struct Case {
  std::string name;
  GrammarPtr grammar;
};

std::vector<Case> cases() {
  const std::string choices[] = {"yes", "no", "a longer one", "a longer two"};
  return {{"json object", compile_json_object()},
          {"choice", compile_choice(choices)},
          {"counted", compile_regex("x[a-z ]{20,90}[.]( [a-z]{1,60},){2,70}")},
          {"letters", compile_regex("[A-Za-z ,.]*")},
          {"schema", compile_json_schema(kSchema)},
          {"recursive schema", compile_json_schema(kTree)},
          {"ebnf", compile_ebnf(kSums)},
          {"utf-8", compile_regex("(é|[а-я]|€|.\\n)+")}};
}

/// Whether the token may come, tried on a matcher that never filled a mask.
std::vector<int32_t> tried_tokens(Matcher& plain, int64_t vocab_size) {
  std::vector<int32_t> tokens;
  for (int32_t token = 0; token < vocab_size; ++token) {
    if (!plain.accept(token)) continue;
    tokens.push_back(token);
    plain.rollback(1);
  }
  return tokens;
}

void expect_masks_are_right(const std::vector<Case>& grammars,
                            const std::shared_ptr<const Vocabulary>& vocabulary, int64_t vocab_size,
                            int num_steps) {
  std::mt19937 random(17);
  for (const Case& c : grammars) {
    Matcher masked(c.grammar, vocabulary);
    Matcher plain(c.grammar, vocabulary);
    for (int step = 0; step < num_steps; ++step) {
      const std::vector<int32_t> allowed = allowed_tokens(masked, vocab_size);
      ASSERT_EQ(allowed, tried_tokens(plain, vocab_size)) << c.name << " at step " << step;
      if (allowed.empty()) break;
      const int32_t token = allowed[random() % allowed.size()];
      ASSERT_TRUE(masked.accept(token));
      ASSERT_TRUE(plain.accept(token));
    }
  }
}

void expect_masks_are_right(const std::filesystem::path& tokenizer_dir) {
  const auto tokenizer = text::Tokenizer::load(tokenizer_dir);
  const int32_t end[] = {2};
  expect_masks_are_right(cases(), make_vocabulary(*tokenizer, tokenizer->vocab_size(), end),
                         tokenizer->vocab_size(), /*num_steps=*/60);
}

TEST(Masks, EqualTryingEachTokenWithABundledModel) {
  expect_masks_are_right(std::filesystem::path(VELOZ_MODELS_DIR) / "tiny-llama");
}

TEST(Masks, EqualTryingEachTokenWithSentencePiece) {
  expect_masks_are_right(std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden" / "text" /
                         "sentencepiece");
}

TEST(Masks, EqualTryingEachTokenWhereMuchMayFollowAShortRule) {
  std::vector<std::string> words = {" ", "  ", " (", "a ", "a b"};
  for (char a = 'a'; a <= 't'; ++a)
    for (char b = 'a'; b <= 't'; ++b)
      for (char c = 'a'; c <= 't'; ++c) words.push_back(std::string(" ") + a + b + c);
  const std::vector<Case> grammars = {
      {"one caller", compile_ebnf("root ::= sp (\"(\" sp [a-c]+ \")\" sp)* [a-z]{3,99}\n"
                                  "sp ::= sp-one?\nsp-one ::= \" \"")},
      {"two callers", compile_ebnf("root ::= (\"(\" sp root \")\" | sp [a-c]+ sp [a-z])+\n"
                                   "sp ::= \" \" | \" (\"")},
      {"counts", compile_ebnf("root ::= list{2,60}\nlist ::= \"<\" (sp [a-h]){3,70} sp \">\"\n"
                              "sp ::= \" \"")}};
  expect_masks_are_right(grammars, test::vocabulary_with(words),
                         test::kEnd + 1 + static_cast<int64_t>(words.size()), /*num_steps=*/40);
}

}  // namespace
}  // namespace veloz::grammar
