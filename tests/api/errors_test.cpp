// SPDX-License-Identifier: Apache-2.0
// What LLM refuses, when, and in which words; and that a request that fails does so alone.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "support/edit_tensor.h"
#include "support/expect_error.h"
#include "support/golden_models.h"
#include "support/isas.h"
#include "support/temp_directory.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz {
namespace {

namespace fs = std::filesystem;
using test::throws_error;
using Tokens = std::vector<int32_t>;

SamplingParams greedy(int64_t max_tokens) {
  SamplingParams params;
  params.temperature = 0;
  params.max_tokens = max_tokens;
  return params;
}

class Errors : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<test::TempDirectory>();
    BuildOptions options = test::small_build(test::golden_model("llama-mha"), engine());
    options.max_num_batched_tokens = 256;
    build(options);
  }
  static void TearDownTestSuite() { directory_.reset(); }

  static fs::path engine() { return directory_->path() / "engine"; }
  static LLM load(const LLMOptions& options = {.num_threads = 1}) {
    return LLM::load(engine(), options);
  }

  static inline std::unique_ptr<test::TempDirectory> directory_;
};

TEST_F(Errors, ImpossibleParametersAreRefusedBeforeAnythingRuns) {
  LLM llm = load();
  SamplingParams impossible = greedy(4);
  impossible.top_p = 0;
  int num_ended = 0;
  const std::vector<Prompt> prompts = {Tokens{1, 2}, Tokens{3}};
  const std::vector<SamplingParams> params = {greedy(4), impossible};
  EXPECT_TRUE(
      throws_error(ErrorKind::invalid_input, {"prompt 1", "top_p is 0", "above 0 and at most 1"},
                   [&] { llm.generate(prompts, params, {}, [&](size_t) { ++num_ended; }); }));
  EXPECT_EQ(num_ended, 0);
}

struct Refusal {
  const char* name;
  void (*change)(SamplingParams&);
  std::vector<std::string_view> parts;
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

class RefusedParameters : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedParameters, AreNamedWithValueAndLimit) {
  test::TempDirectory directory;
  build(test::small_build(test::golden_model("llama-mha"), directory.path() / "engine"));
  LLM llm = LLM::load(directory.path() / "engine", {.num_threads = 1});
  SamplingParams params = greedy(4);
  GetParam().change(params);
  try {
    llm.generate(Tokens{1, 2, 3}, params);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    const std::string text = e.message() + " (" + e.hint() + ")";
    for (const std::string_view part : GetParam().parts)
      EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, RefusedParameters,
    testing::Values(
        Refusal{"max_tokens", [](SamplingParams& p) { p.max_tokens = 0; }, {"max_tokens", "0"}},
        Refusal{"too_many_tokens",
                [](SamplingParams& p) { p.max_tokens = 510; },
                {"3 tokens", "510", "512", "lower max_tokens to 509"}},
        Refusal{"min_tokens",
                [](SamplingParams& p) { p.min_tokens = 5; },
                {"min_tokens is 5", "at most 4"}},
        Refusal{"temperature",
                [](SamplingParams& p) { p.temperature = std::numeric_limits<double>::quiet_NaN(); },
                {"temperature is nan"}},
        Refusal{"top_k", [](SamplingParams& p) { p.top_k = -1; }, {"top_k is -1", "0 or more"}},
        Refusal{"min_p", [](SamplingParams& p) { p.min_p = 1; }, {"min_p is 1", "below 1"}},
        Refusal{"repetition_penalty",
                [](SamplingParams& p) { p.repetition_penalty = 0; },
                {"repetition_penalty is 0"}},
        Refusal{"presence_penalty",
                [](SamplingParams& p) { p.presence_penalty = 2.5; },
                {"presence_penalty is 2.5", "from -2 to 2"}},
        Refusal{"logit_bias_id",
                [](SamplingParams& p) {
                  p.logit_bias = {{131, 1.0f}};
                },
                {"logit_bias id is 131", "0 to 130"}},
        Refusal{"logit_bias_value",
                [](SamplingParams& p) {
                  p.logit_bias = {{1, 101.0f}};
                },
                {"logit_bias value is 101"}},
        Refusal{"stop", [](SamplingParams& p) { p.stop = {""}; }, {"stop string is empty"}},
        Refusal{"stop_token_id",
                [](SamplingParams& p) { p.stop_token_ids = {-1}; },
                {"stop_token_ids entry is -1"}},
        Refusal{"n", [](SamplingParams& p) { p.n = 0; }, {"n is 0"}},
        Refusal{"n_negative", [](SamplingParams& p) { p.n = -3; }, {"n is -3"}},
        Refusal{
            "n_too_many", [](SamplingParams& p) { p.n = 17; }, {"17 sequences", "max_num_seqs 16"}},
        Refusal{"n_huge",
                [](SamplingParams& p) { p.n = int64_t{1} << 60; },
                {"1152921504606846976", "max_num_seqs 16"}},
        Refusal{"logprobs", [](SamplingParams& p) { p.logprobs = 21; }, {"logprobs is 21", "20"}},
        Refusal{"num_beams",
                [](SamplingParams& p) { p.num_beams = 9; },
                {"num_beams is 9", "at most 8"}},
        Refusal{"beams_with_top_p",
                [](SamplingParams& p) {
                  p.num_beams = 4;
                  p.top_p = 0.9;
                },
                {"top_p cannot be combined with beam search", "num_beams is 4"}}),
    [](const auto& refusal) { return std::string(refusal.param.name); });

TEST_F(Errors, PromptsThatCannotBeAreRefused) {
  LLM llm = load();
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"the prompt has no tokens"},
                           [&] { llm.generate(Tokens{}, greedy(1)); }));
  for (const int32_t id : {-1, 131, INT32_MAX})
    EXPECT_TRUE(throws_error(ErrorKind::invalid_input,
                             {fmt::format("prompt token id {}", id), "0 to 130"}, [&] {
                               llm.generate(Tokens{1, id}, greedy(1));
                             }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"512 tokens leaves no room", "512", "by 1 "},
                           [&] { llm.generate(Tokens(512, 1), greedy(1)); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"2 prompts with parameters for 1"}, [&] {
    llm.generate(std::vector<Prompt>(2, Tokens{1}), std::vector<SamplingParams>(1, greedy(1)));
  }));
}

TEST_F(Errors, TextWithoutATokenizerIsUnsupported) {
  LLM llm = load();
  const auto is_refused = [](const auto& f) {
    return throws_error(ErrorKind::unsupported, {"has no tokenizer", "token ids"}, f);
  };
  EXPECT_TRUE(is_refused([&] { llm.generate(std::string("text"), greedy(1)); }));
  EXPECT_TRUE(is_refused([&] { llm.encode("text"); }));
  EXPECT_TRUE(is_refused([&] { llm.decode(Tokens{1}); }));
}

TEST_F(Errors, ACacheTooSmallForOneSequenceIsRefusedWithTheArithmetic) {
  // 2 layers x (k, v) x 3 heads x 24 x 64 positions x 4 bytes = 72 KiB a block, 8 blocks a
  // sequence.
  EXPECT_TRUE(throws_error(ErrorKind::out_of_memory,
                           {"a KV cache of 500.00 KiB holds 6 blocks", "512 positions needs 8",
                            "576.00 KiB", "--kv-cache-memory-bytes", "--max-model-len"},
                           [&] { load({.kv_cache_memory_bytes = size_t{500} << 10}); }));
  EXPECT_NO_THROW(load({.kv_cache_memory_bytes = size_t{576} << 10}));
}

TEST_F(Errors, ARequestThatCouldNeverFitTheCacheIsRefusedWithTheArithmetic) {
  LLM llm = load({.kv_cache_memory_bytes = size_t{576} << 10});
  SamplingParams params = greedy(200);
  params.n = 4;
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input,
                           {"100 prompt tokens and 4 x 200 new ones need 17 KV blocks of 64",
                            "the cache has 8", "max_tokens"},
                           [&] { llm.generate(Tokens(100, 1), params); }));
}

TEST_F(Errors, LimitsBeyondThoseOfTheEngineAreRefused) {
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"--max-num-seqs is 17", "1 to 16"},
                           [] { load({.max_num_seqs = 17}); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"--max-num-batched-tokens is 257", "256"},
                           [] { load({.max_num_batched_tokens = 257}); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"--max-num-seqs is -1"},
                           [] { load({.max_num_seqs = -1}); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input,
                           {"--max-num-seqs 8 exceeds --max-num-batched-tokens 4"},
                           [] { load({.max_num_seqs = 8, .max_num_batched_tokens = 4}); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"2000 threads", "1 to 1024"},
                           [] { load({.num_threads = 2000}); }));
}

TEST_F(Errors, StepsShorterThanTheEnginesSequencesLowerTheirNumber) {
  LLM llm = load({.num_threads = 1, .max_num_batched_tokens = 4});
  SamplingParams params = greedy(2);
  params.n = 5;
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"5 sequences", "max_num_seqs 4"},
                           [&] { llm.generate(Tokens{1}, params); }));
  EXPECT_EQ(llm.generate(Tokens{1}, greedy(2)).completions.at(0).token_ids.size(), 2u);
}

TEST_F(Errors, AnUnknownInstructionSetIsRefused) {
  EXPECT_TRUE(throws_error(
      ErrorKind::invalid_input,
      {"\"sse9\"", "portable, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16, avx512_bf16_dot"},
      [] { load({.isa = "sse9"}); }));
}

TEST_F(Errors, WhatIsNoEngineIsNotFound) {
  EXPECT_TRUE(throws_error(ErrorKind::not_found, {"engine"},
                           [] { LLM::load(directory_->path() / "nowhere"); }));
}

/// A model in which one token's embedding is not a number.
class NanToken : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const fs::path model = directory_.path() / "model";
    fs::copy(test::golden_model("llama-mha"), model);
    test::fill_row(model / "model.safetensors", "model.embed_tokens.weight", kBad,
                   std::numeric_limits<float>::quiet_NaN());
    BuildOptions options = test::small_build(model, directory_.path() / "engine");
    options.target = "cpu:" + GetParam();
    report_ = build(options);
    llm_ = std::make_unique<LLM>(LLM::load(
        options.output,
        {.isa = GetParam(), .num_threads = 2, .kv_cache_memory_bytes = size_t{1200} << 10}));
  }

  static constexpr int32_t kBad = 77;
  test::TempDirectory directory_;
  BuildReport report_;
  std::unique_ptr<LLM> llm_;
};

TEST_P(NanToken, IsWarnedOfByTheBuild) {
  ASSERT_EQ(report_.warnings.size(), 1u);
  EXPECT_NE(report_.warnings[0].find("\"model.embed_tokens.weight\" has 33 NaN"), std::string::npos)
      << report_.warnings[0];
}

TEST_P(NanToken, FailsItsRequestAloneAndNamesTheStep) {
  // The bad token is forced as the fourth output: the fifth cannot be chosen.
  const Tokens good_prompt = {9, 8, 7};
  const Tokens alone = llm_->generate(good_prompt, greedy(20)).completions.at(0).token_ids;
  SamplingParams forced = greedy(20);
  forced.no_repeat_ngram_size = 1;
  forced.logit_bias = {{1, 100.0f}, {2, 90.0f}, {3, 80.0f}, {kBad, 70.0f}};
  const std::vector<Prompt> prompts = {good_prompt, Tokens{5, 6}, good_prompt};
  const std::vector<SamplingParams> params = {greedy(20), forced, greedy(20)};
  const std::vector<RequestOutput> outputs = llm_->generate(prompts, params);
  EXPECT_EQ(outputs[0].completions.at(0).token_ids, alone);
  EXPECT_EQ(outputs[2].completions.at(0).token_ids, alone);
  ASSERT_TRUE(outputs[1].error.has_value());
  const std::string& message = outputs[1].error->message();
  EXPECT_EQ(outputs[1].error->kind(), ErrorKind::internal);
  EXPECT_NE(message.find("step "), std::string::npos) << message;
  EXPECT_NE(message.find("output token 5: the logits hold a NaN"), std::string::npos) << message;
  EXPECT_EQ(outputs[1].completions.at(0).token_ids, (Tokens{1, 2, 3, kBad}));
  EXPECT_EQ(outputs[1].completions.at(0).finish_reason, FinishReason::error);
}

TEST_P(NanToken, FailsABeamSearchToo) {
  SamplingParams beams;
  beams.num_beams = 3;
  beams.max_tokens = 5;
  const RequestOutput output = llm_->generate(Tokens{4, kBad, 4}, beams);
  ASSERT_TRUE(output.error.has_value());
  EXPECT_NE(output.error->message().find("output token 1: the logits hold a NaN"),
            std::string::npos)
      << output.error->message();
}

TEST_P(NanToken, LeavesNothingInTheCacheForThoseWhoComeLater) {
  // Two sequences fill the cache, so later ones get blocks that held NaN keys and values.
  const Tokens good_prompt = {9, 8, 7};
  const Tokens expected = llm_->generate(good_prompt, greedy(100)).completions.at(0).token_ids;
  const std::vector<Prompt> bad(4, Tokens(300, kBad));
  for (const RequestOutput& output : llm_->generate(bad, std::vector<SamplingParams>(4, greedy(5))))
    EXPECT_TRUE(output.error.has_value());
  const std::vector<Prompt> good(4, good_prompt);
  for (const RequestOutput& output :
       llm_->generate(good, std::vector<SamplingParams>(4, greedy(100))))
    EXPECT_EQ(output.completions.at(0).token_ids, expected);
}

INSTANTIATE_TEST_SUITE_P(Isas, NanToken, testing::ValuesIn(test::isas_here()),
                         [](const auto& isa) { return isa.param; });

}  // namespace
}  // namespace veloz
