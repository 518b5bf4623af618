// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "grammar_texts.h"
#include "text/tokenizer.h"

namespace veloz::grammar {
namespace {

using test::allowed_tokens;

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

void expect_masks_are_right(const std::filesystem::path& tokenizer_dir, int num_steps) {
  const auto tokenizer = text::Tokenizer::load(tokenizer_dir);
  const int64_t vocab_size = tokenizer->vocab_size();
  const int32_t end[] = {2};
  const auto vocabulary = make_vocabulary(*tokenizer, vocab_size, end);
  std::mt19937 random(17);
  for (const Case& c : cases()) {
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

TEST(Masks, EqualTryingEachTokenWithABundledModel) {
  expect_masks_are_right(std::filesystem::path(VELOZ_MODELS_DIR) / "tiny-llama", 60);
}

TEST(Masks, EqualTryingEachTokenWithSentencePiece) {
  expect_masks_are_right(
      std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden" / "text" / "sentencepiece", 60);
}

}  // namespace
}  // namespace veloz::grammar
