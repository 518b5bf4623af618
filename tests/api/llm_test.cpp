// SPDX-License-Identifier: Apache-2.0
#include "veloz/llm.h"

#include <gtest/gtest.h>

#include <atomic>

#include "support/expect_error.h"
#include "support/letter_tokenizer.h"
#include "support/sentencepiece_bytes.h"
#include "support/temp_directory.h"
#include "support/tiny_checkpoint.h"
#include "veloz/build.h"

namespace veloz {
namespace {

namespace fs = std::filesystem;
using test::throws_error;
using Tokens = std::vector<int32_t>;

class LLMTest : public testing::Test {
 protected:
  void SetUp() override {
    checkpoint_.write(model_);
    test::write_bytes(model_ / "tokenizer.json", test::kLetterTokenizer);
    build({.model = model_, .output = engine_, .num_threads = 2});
  }
  LLM load() const {
    LLMOptions options;
    options.num_threads = 2;
    return LLM::load(engine_, options);
  }

  const test::TempDirectory temp_;
  const fs::path model_ = temp_.path() / "model";
  const fs::path engine_ = temp_.path() / "engine";
  test::TinyCheckpoint checkpoint_;
};

TEST_F(LLMTest, NeverSamplesIdsTheTokenizerLacks) {
  LLM llm = load();
  EXPECT_EQ(llm.vocab_size(), 40);
  SamplingParams params;
  params.temperature = 100;  // as good as uniform: two thirds of the draws would be padding
  params.ignore_eos = true;
  params.max_tokens = 60;
  params.n = 8;
  params.seed = 1;
  const RequestOutput sampled = llm.generate("ab", params);
  std::vector<bool> seen(40);
  for (const Completion& completion : sampled.completions)
    for (const int32_t token : completion.token_ids) seen[static_cast<size_t>(token)] = true;
  for (size_t id = 0; id < seen.size(); ++id) EXPECT_EQ(seen[id], id <= 12) << id;

  SamplingParams beams;
  beams.temperature = 0;
  beams.num_beams = 8;
  beams.n = 8;
  beams.max_tokens = 20;
  for (const Completion& completion : llm.generate("ab", beams).completions)
    for (const int32_t token : completion.token_ids) EXPECT_LE(token, 12);
}

TEST_F(LLMTest, RefusesAnAbsurdNumberOfChoicesBeforeItMakesRoomForThem) {
  LLM llm = load();
  SamplingParams params;
  params.max_tokens = 4;
  params.n = int64_t{1} << 60;
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"1152921504606846976 sequences", "64"},
                           [&] { llm.generate("ab", params); }));
}

TEST_F(LLMTest, RunsNothingWhereOneOfThePromptsCannotBe) {
  LLM llm = load();
  SamplingParams good;
  good.max_tokens = 4;
  SamplingParams bad = good;
  bad.top_p = 2;
  const std::vector<Prompt> prompts = {"ab", "cd"};
  std::atomic<bool> has_run = false;
  const TextSink sink = [&](const TextDelta&) {
    has_run = true;
    return true;
  };
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"prompt 1: top_p is 2"}, [&] {
    llm.generate(prompts, std::vector<SamplingParams>{good, bad}, sink);
  }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"2 prompts with parameters for 1"}, [&] {
    llm.generate(prompts, std::vector<SamplingParams>{good}, sink);
  }));
  EXPECT_FALSE(has_run);
}

TEST_F(LLMTest, StopCheckEndsBeamSearchToo) {
  LLM llm = load();
  SamplingParams params;
  params.temperature = 0;
  params.num_beams = 4;
  params.ignore_eos = true;
  params.max_tokens = 60;
  const std::vector<Prompt> prompts(4000, "ab");  // the last ones wait for long
  const std::vector<SamplingParams> all(prompts.size(), params);
  const std::vector<RequestOutput> outputs =
      llm.generate(prompts, all, {}, {}, [] { return true; });
  ASSERT_EQ(outputs.size(), prompts.size());
  EXPECT_EQ(outputs.back().completions.front().finish_reason, FinishReason::cancelled);
  // The engine is still fit for work.
  params.max_tokens = 2;
  EXPECT_EQ(llm.generate("ab", params).completions.front().token_ids.size(), 2u);
}

TEST_F(LLMTest, RequestsGoOnWhileTheStopCheckSaysSo) {
  LLM llm = load();
  SamplingParams params;
  params.temperature = 0;
  params.ignore_eos = true;
  params.max_tokens = 60;
  const RequestOutput output = llm.generate("ab", params, {}, [] { return false; });
  EXPECT_EQ(output.completions.front().finish_reason, FinishReason::length);
  EXPECT_EQ(output.completions.front().token_ids.size(), 60u);
}

TEST_F(LLMTest, WithoutATokenizerTakesTokenIds) {
  fs::remove(model_ / "tokenizer.json");
  build({.model = model_, .output = temp_.path() / "bare", .num_threads = 2});
  LLM llm = LLM::load(temp_.path() / "bare");
  SamplingParams params;
  params.temperature = 0;
  params.max_tokens = 5;
  params.ignore_eos = true;
  EXPECT_EQ(llm.generate(Tokens{3, 4}, params).completions.front().token_ids.size(), 5u);
}

TEST_F(LLMTest, ASentencePieceModelAndItsAddedTokensGoIntoTheEngine) {
  fs::remove(model_ / "tokenizer.json");
  const std::string pieces = test::piece_field("<unk>", 0, 2) + test::piece_field("<s>", 0, 3) +
                             test::piece_field("\u2581", -1) + test::piece_field("a", -2);
  test::write_bytes(model_ / "tokenizer.model", pieces + test::kBpeField);
  test::write_bytes(model_ / "added_tokens.json", R"({"<x>": 4})");
  build({.model = model_, .output = temp_.path() / "pieces", .num_threads = 2});
  const LLM llm = LLM::load(temp_.path() / "pieces");
  EXPECT_EQ(llm.encode("a<x>a"), (Tokens{1, 2, 3, 4, 2, 3}));
  EXPECT_EQ(llm.decode(Tokens{1, 2, 3, 4}), "a<x>");
}

}  // namespace
}  // namespace veloz
