// SPDX-License-Identifier: Apache-2.0
// The bundled models, in fp32, against what transformers generates with them
// (tests/golden/make_model_goldens.py trained): prompts tokenised alike, greedy and beam-search
// sequences equal.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/golden_models.h"
#include "support/temp_directory.h"

namespace veloz {
namespace {

using nlohmann::json;
using Tokens = std::vector<int32_t>;

class Trained : public testing::TestWithParam<std::string> {
 protected:
  Trained()
      : golden_(json::parse(std::ifstream(std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden" /
                                          "trained" / (GetParam() + ".json")))),
        llm_(load()) {
    for (const json& prompt : golden_.at("prompts")) prompts_.emplace_back(prompt.get<Tokens>());
  }

  LLM load() const {
    BuildOptions options =
        test::small_build(test::bundled_model(GetParam()), directory_.path() / "engine", "fp32");
    build(options);
    return LLM::load(options.output, {.num_threads = 2});
  }
  std::vector<RequestOutput> generate(const SamplingParams& params) {
    return llm_.generate(prompts_, std::vector<SamplingParams>(prompts_.size(), params));
  }

  const test::TempDirectory directory_;
  const json golden_;
  LLM llm_;
  std::vector<Prompt> prompts_;
};

TEST_P(Trained, PromptsAreTokenisedAlike) {
  const json& items = golden_.at("items");
  ASSERT_EQ(items.size(), prompts_.size());
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].contains("prompt")) {
      EXPECT_EQ(llm_.encode(items[i].at("prompt").get<std::string>()),
                std::get<Tokens>(prompts_[i]));
      continue;
    }
    std::vector<ChatMessage> messages;
    for (const json& message : items[i].at("messages"))
      messages.push_back({message.at("role"), message.at("content")});
    EXPECT_EQ(std::get<Tokens>(llm_.apply_chat_template(messages)), std::get<Tokens>(prompts_[i]));
  }
}

TEST_P(Trained, GreedyTokensAreThoseOfTransformers) {
  SamplingParams params;
  params.max_tokens = 64;
  params.temperature = 0;
  const std::vector<RequestOutput> outputs = generate(params);
  for (size_t i = 0; i < outputs.size(); ++i)
    EXPECT_EQ(outputs[i].completions.front().token_ids, golden_.at("greedy")[i].get<Tokens>()) << i;
}

TEST_P(Trained, BeamSequencesAreThoseOfTransformers) {
  SamplingParams params;
  params.max_tokens = 64;
  params.temperature = 0;
  params.num_beams = params.n = 4;
  params.early_stopping = EarlyStopping::yes;
  const std::vector<RequestOutput> outputs = generate(params);
  for (size_t i = 0; i < outputs.size(); ++i)
    for (size_t beam = 0; beam < 4; ++beam) {
      const Completion& got = outputs[i].completions[beam];
      EXPECT_EQ(got.token_ids, golden_.at("beam")[i][beam].get<Tokens>()) << i << " beam " << beam;
      EXPECT_NEAR(got.score, golden_.at("beam_scores")[i][beam].get<double>(), 1e-3);
    }
}

INSTANTIATE_TEST_SUITE_P(Models, Trained, testing::Values("tiny-gptj", "tiny-llama"),
                         [](const auto& model) {
                           return model.param == "tiny-gptj" ? "TinyGptj" : "TinyLlama";
                         });

}  // namespace
}  // namespace veloz
