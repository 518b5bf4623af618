// SPDX-License-Identifier: Apache-2.0
// Ids and texts against those of tokenizers and of SentencePiece;
// tests/golden/text/make_tokenizer_goldens.py made them.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/json_tokenizer.h"
#include "text/tokenizer_goldens.h"

namespace veloz::text {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::Ids;

class TokenizerGoldens : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ =
      Tokenizer::load(test::tokenizer_golden_dir() / GetParam());
  json golden_ = test::read_tokenizer_golden(GetParam() + "/golden.json");
  std::vector<std::string> strings_ = test::awkward_strings();
};

TEST_P(TokenizerGoldens, EveryStringHasItsIds) {
  ASSERT_GE(strings_.size(), 2000u);
  test::expect_encodes(*tokenizer_, test::golden_texts(golden_, strings_), strings_);
}

TEST_P(TokenizerGoldens, EveryStringDecodesAtOnceAndTokenByToken) {
  test::expect_decodes(*tokenizer_, test::golden_texts(golden_, strings_));
}

TEST_P(TokenizerGoldens, IdsThatNoTextGivesDecodeAtOnceAndTokenByToken) {
  const test::GoldenTexts golden = test::random_golden_texts(golden_);
  ASSERT_GE(golden.ids.size(), 200u);
  test::expect_decodes(*tokenizer_, golden);
}

TEST_P(TokenizerGoldens, WithoutSpecialTokensOnlyThoseOfTheTextAreThere) {
  const std::vector<Ids> ids = test::golden_texts(golden_, strings_).ids;
  const Ids prefix = tokenizer_->encode("");
  for (size_t i = 0; i < strings_.size(); ++i) {
    Ids all = tokenizer_->encode(strings_[i], {.add_special_tokens = false});
    all.insert(all.begin(), prefix.begin(), prefix.end());
    ASSERT_EQ(all, ids[i]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Pipelines, TokenizerGoldens,
                         ::testing::Values("gptj", "llama3", "qwen2", "llama2", "sentencepiece",
                                           "sentencepiece-collapsing"),
                         [](const auto& pipeline) {
                           std::string name = pipeline.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(TokenizerSpellings, AreThoseOfTheVocabulary) {
  const fs::path models = VELOZ_MODELS_DIR;
  for (const fs::path& dir :
       {models / "tiny-llama", models / "tiny-gptj", test::tokenizer_golden_dir() / "qwen2",
        test::tokenizer_golden_dir() / "llama2"}) {
    SCOPED_TRACE(dir);
    const auto tokenizer = Tokenizer::load(dir);
    const json description = test::read_tokenizer_golden(dir / "tokenizer.json");
    std::vector<std::string> expected(static_cast<size_t>(tokenizer->vocab_size()));
    for (const auto& [token, id] : description["model"]["vocab"].items())
      expected[id.get<size_t>()] = token;
    for (const json& token : description["added_tokens"])
      expected[token["id"].get<size_t>()] = token["content"];
    for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
      const std::string& token = expected[static_cast<size_t>(id)];
      ASSERT_EQ(tokenizer->has_token(id) ? tokenizer->token(id) : "", token) << id;
    }
  }
}

TEST(TokenizerSpellings, OfSentencePieceKeepItsMarks) {
  const auto tokenizer = Tokenizer::load(test::tokenizer_golden_dir() / "sentencepiece");
  for (const char* token : {"▁", "<0x0A>", "<s>"})
    EXPECT_EQ(tokenizer->token(tokenizer->token_id(token).value()), token);
}

/// A pipeline's tokenizer.json with components exchanged: "model.fuse_unk" is a path.
std::string patched(json description, const json& patch) {
  for (const auto& [path, value] : patch.items()) {
    std::string pointer = "/" + path;
    std::ranges::replace(pointer, '.', '/');
    description[json::json_pointer(pointer)] = value;
  }
  return description.dump();
}

TEST(TokenizerVariantGoldens, EveryComponentDoesWhatItDoesInTokenizers) {
  const json goldens = test::read_tokenizer_golden("variants.json");
  ASSERT_GE(goldens["variants"].size(), 30u);
  const std::vector<std::string> all = test::awkward_strings();
  std::vector<std::string> strings;
  for (size_t i = 0; i < all.size(); i += goldens["stride"].get<size_t>())
    strings.push_back(all[i]);
  for (const json& variant : goldens["variants"]) {
    SCOPED_TRACE(variant["name"]);
    const json base =
        test::read_tokenizer_golden(variant["base"].get<std::string>() + "/tokenizer.json");
    const auto tokenizer = parse_tokenizer_json(patched(base, variant["patch"]));
    const test::GoldenTexts golden = test::golden_texts(variant, strings);
    test::expect_encodes(*tokenizer, golden, strings);
    test::expect_decodes(*tokenizer, golden);
  }
}

}  // namespace
}  // namespace veloz::text
