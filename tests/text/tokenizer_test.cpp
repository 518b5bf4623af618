// SPDX-License-Identifier: Apache-2.0
// Which files of a model directory make its tokenizer.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "support/expect_error.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_goldens.h"

namespace veloz::text {
namespace {

namespace fs = std::filesystem;
using test::Ids;
using veloz::test::throws_error;

/// A directory of its own for each test, removed afterwards.
class TokenizerDirectory : public ::testing::Test {
 protected:
  TokenizerDirectory() { fs::create_directories(path_); }
  ~TokenizerDirectory() override { fs::remove_all(path_); }

  void write(const char* name, std::string_view text) const { write_text_file(path_ / name, text); }
  void copy(const char* golden) const {
    const fs::path source = test::tokenizer_golden_dir() / golden;
    fs::copy_file(source, path_ / source.filename());
  }

  const fs::path path_ = fs::path(::testing::TempDir()) /
                         (std::string("veloz_tokenizer_") +
                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(TokenizerDirectory, WithoutATokenizerFileIsNotFound) {
  EXPECT_TRUE(throws_error(ErrorKind::not_found, {"no tokenizer.json and no tokenizer.model"},
                           [&] { Tokenizer::load(path_); }));
}

TEST_F(TokenizerDirectory, PrefersTokenizerJson) {
  copy("gptj/tokenizer.json");
  copy("sentencepiece/tokenizer.model");
  EXPECT_EQ(Tokenizer::load(path_)->token_id("\u2581the"), std::nullopt);
  fs::remove(path_ / "tokenizer.json");
  EXPECT_NE(Tokenizer::load(path_)->token_id("\u2581the"), std::nullopt);
}

TEST_F(TokenizerDirectory, NamesTheFileThatIsDamaged) {
  write("tokenizer.model", "\x0a\x05");
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"tokenizer.model\": a protobuf field"},
                           [&] { Tokenizer::load(path_); }));
  write("tokenizer_config.json", "{");
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"tokenizer_config.json\": no valid JSON"},
                           [&] { Tokenizer::load(path_); }));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"tokenizer_config.json\": no valid JSON"},
                           [&] { load_special_token_names(path_); }));
  write("tokenizer.json", "[]");
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"tokenizer.json\": it is no JSON object"},
                           [&] { Tokenizer::load(path_); }));
}

TEST_F(TokenizerDirectory, NamesItsBosAndEosAsTextOrAsObjects) {
  EXPECT_EQ(load_special_token_names(path_).bos, "");
  write("tokenizer_config.json",
        R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}})");
  EXPECT_EQ(load_special_token_names(path_).bos, "<s>");
  EXPECT_EQ(load_special_token_names(path_).eos, "</s>");
  write("tokenizer_config.json", R"({"bos_token": null, "model_max_length": 1e30})");
  EXPECT_EQ(load_special_token_names(path_).bos, "");
}

TEST_F(TokenizerDirectory, CollectsAddedTokensFromEveryFile) {
  write("tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": true,
      "added_tokens_decoder": {"7": {"content": "<b>", "special": true, "lstrip": true},
                               "5": {"content": "<a>", "rstrip": true, "single_word": true}},
      "pad_token": "<b>", "additional_special_tokens": ["<c>"], "bos_token": "<s>"})");
  write("special_tokens_map.json", R"({"eos_token": {"content": "</s>"}, "bos_token": "<other>"})");
  write("added_tokens.json", R"({"<c>": 9, "<ignored>": 5})");
  const TokenizerConfig config = load_tokenizer_config(path_);
  ASSERT_EQ(config.added_tokens.size(), 3u);
  EXPECT_EQ(config.added_tokens[0].content, "<a>");
  EXPECT_TRUE(config.added_tokens[0].strips_right && config.added_tokens[0].is_single_word);
  EXPECT_EQ(config.added_tokens[1].content, "<b>");
  EXPECT_TRUE(config.added_tokens[1].strips_left && config.added_tokens[1].is_special);
  EXPECT_EQ(config.added_tokens[2].content, "<c>");
  EXPECT_EQ(config.bos, "<s>");
  EXPECT_EQ(config.eos, "</s>");
  EXPECT_FALSE(config.adds_bos);
  EXPECT_TRUE(config.adds_eos);
  EXPECT_EQ(config.special_tokens,
            (std::vector<std::string>{"</s>", "<b>", "<c>", "<other>", "<s>"}));
}

TEST_F(TokenizerDirectory, RefusesAddedTokensThatAreNone) {
  const auto refused = [&](const char* name, const char* text, std::string_view part) {
    write(name, text);
    EXPECT_TRUE(
        throws_error(ErrorKind::corrupt_data, {part}, [&] { load_tokenizer_config(path_); }));
    fs::remove(path_ / name);
  };
  refused("tokenizer_config.json", "[]", "it is no JSON object");
  refused("tokenizer_config.json", R"({"added_tokens_decoder": []})", "is no object");
  refused("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {}}})",
          "\"x\" in added_tokens_decoder is no token id");
  refused("tokenizer_config.json", R"({"added_tokens_decoder": {"1": {}}})",
          "\"content\" is missing");
  refused("tokenizer_config.json", R"({"added_tokens_decoder": {"9000000": {"content": "x"}}})",
          "9000000 is no token id");
  refused("tokenizer_config.json", R"({"add_bos_token": "yes"})",
          "\"add_bos_token\" is no boolean");
  refused("added_tokens.json", R"({"<a>": "1"})", "is no token id");
  refused("added_tokens.json", R"({"": 1})", "added token 1 has 0 bytes");
}

TEST_F(TokenizerDirectory, AddedTokensOfAModelAreFoundInTheText) {
  copy("sentencepiece/tokenizer.model");
  write("tokenizer_config.json", R"({"added_tokens_decoder":
      {"1200": {"content": "<x>", "special": true, "lstrip": true, "rstrip": true}}})");
  const auto tokenizer = Tokenizer::load(path_);
  EXPECT_EQ(tokenizer->vocab_size(), 1201);
  EXPECT_FALSE(tokenizer->has_token(1100));
  const Ids the = tokenizer->encode("the", {.add_special_tokens = false});
  Ids expected = the;
  expected.push_back(1200);
  expected.insert(expected.end(), the.begin(), the.end());
  EXPECT_EQ(tokenizer->encode("the <x>\n the", {.add_special_tokens = false}), expected);
}

}  // namespace
}  // namespace veloz::text
