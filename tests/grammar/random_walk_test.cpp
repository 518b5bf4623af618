// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "grammar_texts.h"
#include "random_schema.h"
#include "schema_validator.h"
#include "text/tokenizer.h"

namespace veloz::grammar {
namespace {

constexpr int kSchemas = 300;
constexpr int kFreeSteps = 25;
constexpr int kMaxSteps = 3000;
constexpr int32_t kEndToken = 2;
constexpr std::string_view kAskedFor = "abxyA-0\\\"";

struct Model {
  std::unique_ptr<text::Tokenizer> tokenizer =
      text::Tokenizer::load(std::filesystem::path(VELOZ_MODELS_DIR) / "tiny-llama");
  int64_t vocab_size = tokenizer->vocab_size();
  std::shared_ptr<const Vocabulary> vocabulary =
      make_vocabulary(*tokenizer, vocab_size, std::vector<int32_t>{kEndToken});
};

/// Any allowed token at first. Later the end where it is allowed; else often what may close
/// something, or a character that the patterns ask for: so lists of lists come to an end, and
/// strings to where they match.
int32_t choose(const Model& model, const std::vector<int32_t>& allowed, int step,
               std::mt19937& random) {
  std::vector<int32_t> choices;
  if (step > kFreeSteps) {
    if (std::binary_search(allowed.begin(), allowed.end(), kEndToken)) return kEndToken;
    const auto kind = random() % 3;
    for (const int32_t token : allowed) {
      const std::string_view text = model.tokenizer->piece(token, false).text;
      const bool may_close = text == "\"" || text == "}" || text == "]";
      if (kind == 0 ? may_close
                    : kind == 1 && text.size() == 1 && kAskedFor.find(text) != kAskedFor.npos)
        choices.push_back(token);
    }
  }
  if (choices.empty()) choices = allowed;
  return choices[random() % choices.size()];
}

/// A text, or nothing where the walk did not come to an end.
std::optional<std::string> walk(const Model& model, const GrammarPtr& grammar,
                                std::mt19937& random) {
  Matcher matcher(grammar, model.vocabulary);
  std::string text;
  for (int step = 0; step < kMaxSteps; ++step) {
    const auto allowed = test::allowed_tokens(matcher, model.vocab_size);
    if (allowed.empty()) return std::nullopt;
    const int32_t token = choose(model, allowed, step, random);
    if (!matcher.accept(token)) return std::nullopt;
    if (token == kEndToken) return text;
    text += model.tokenizer->piece(token, false).text;
  }
  return std::nullopt;
}

TEST(RandomWalks, EndInTextsThatSatisfyTheSchema) {
  const Model model;
  int num_satisfiable = 0;
  for (uint32_t seed = 0; seed < kSchemas; ++seed) {
    const std::string schema = test::RandomSchema(seed).document().dump();
    GrammarPtr grammar;
    try {
      grammar = compile_json_schema(schema);
    } catch (const Error& e) {
      ASSERT_NE(e.message().find("no text"), std::string::npos) << e.message() << "\n" << schema;
      continue;
    }
    ++num_satisfiable;
    const test::SchemaValidator validator(nlohmann::json::parse(schema));
    std::mt19937 random(seed);
    for (int i = 0; i < 3; ++i) {
      const auto text = walk(model, grammar, random);
      ASSERT_TRUE(text) << "seed " << seed << "\n" << schema;
      const auto value = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
      ASSERT_FALSE(value.is_discarded()) << *text << "\n" << schema;
      ASSERT_TRUE(validator.is_valid(value)) << *text << "\n" << schema;
    }
  }
  EXPECT_GT(num_satisfiable, kSchemas / 2);
}

}  // namespace
}  // namespace veloz::grammar
