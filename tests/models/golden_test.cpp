// SPDX-License-Identifier: Apache-2.0
// Small random checkpoints against what transformers computed with them
// (tests/golden/make_model_goldens.py): logits within 1e-4 of the largest, greedy tokens and
// beam-search sequences equal.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "api/backend.h"
#include "engine/engine.h"
#include "runtime/session.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Tokens = std::vector<int32_t>;

const fs::path kGoldens = fs::path(VELOZ_TEST_DATA_DIR) / "golden" / "models";

std::vector<std::string> checkpoint_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGoldens))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

std::vector<float> decode_floats(const std::string& base64) {
  static const std::string kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int num_bits = 0;
  for (const char c : base64) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(kAlphabet.find(c));
    num_bits += 6;
    if (num_bits >= 8) {
      num_bits -= 8;
      bytes.push_back(static_cast<char>(bits >> num_bits & 0xff));
    }
  }
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
  return floats;
}

LLMOptions two_threads() {
  LLMOptions options;
  options.num_threads = 2;
  return options;
}

/// An fp32 engine of the checkpoint, built for the test that asks.
class GoldenModel : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ = json::parse(std::ifstream(kGoldens / GetParam() / "golden.json"));
    for (const json& prompt : golden_["prompts"]) prompts_.push_back(prompt.get<Tokens>());
    engine_ =
        fs::path(testing::TempDir()) / fmt::format("veloz-golden-{}-{}", GetParam(), ::getpid());
    BuildOptions options;
    options.model = kGoldens / GetParam();
    options.output = engine_;
    options.dtype = "fp32";
    options.max_num_seqs = 16;
    options.replace_existing = true;
    build(options);
  }
  void TearDown() override { fs::remove_all(engine_); }

  LLM load() const { return LLM::load(engine_, two_threads()); }

  json golden_;
  std::vector<Tokens> prompts_;
  fs::path engine_;
};

/// The prompt alone in one step, logits of all its positions [T, vocab_size].
std::vector<float> all_logits(const fs::path& directory, const Tokens& prompt) {
  const engine::Engine engine = engine::Engine::open(directory);
  const api::Backend backend = api::open_cpu("", 2);
  runtime::Session session(engine, *backend.device, *backend.registry, *backend.pool,
                           {.num_kv_blocks = 8});
  runtime::Batch batch;
  const auto length = static_cast<int32_t>(prompt.size());
  batch.tokens = prompt;
  for (int32_t i = 0; i < length; ++i) {
    batch.positions.push_back(i);
    batch.slots.push_back(3 * engine.plan().limits.block_size + i);
    batch.logit_rows.push_back(i);
  }
  batch.q_starts = {0};
  batch.q_lens = {length};
  batch.kv_lens = {length};
  batch.block_tables = {3};
  batch.blocks_per_seq = 1;
  const TensorView logits = session.run(batch);
  const float* const values = logits.as<float>();
  return {values, values + logits.shape.num_elements()};
}

TEST_P(GoldenModel, GivesTheLogitsOfTransformers) {
  const std::vector<float> expected = decode_floats(golden_["logits"]["all_positions_of_prompt_1"]);
  const std::vector<float> actual = all_logits(engine_, prompts_[1]);
  ASSERT_EQ(actual.size(), expected.size());
  float largest = 0;
  float worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::max(worst, std::abs(actual[i] - expected[i]));
  }
  EXPECT_LE(worst / largest, 1e-4f);
}

TEST_P(GoldenModel, GeneratesTheGreedyTokensOfTransformers) {
  LLM llm = load();
  SamplingParams params;
  params.temperature = 0;
  params.max_tokens = 64;
  params.ignore_eos = true;
  const std::vector<Prompt> prompts(prompts_.begin(), prompts_.end());
  const std::vector<SamplingParams> all_params(prompts.size(), params);
  const std::vector<RequestOutput> outputs = llm.generate(prompts, all_params);
  for (size_t i = 0; i < outputs.size(); ++i)
    EXPECT_EQ(outputs[i].completions.front().token_ids, golden_["greedy"][i].get<Tokens>())
        << "prompt " << i;
}

SamplingParams beam_params(const json& arguments) {
  SamplingParams params;
  params.temperature = 0;
  params.ignore_eos = true;  // the ends are those of the case
  params.stop_token_ids = arguments["eos_token_id"].get<Tokens>();
  params.num_beams = arguments["num_beams"];
  params.n = arguments.value("num_return_sequences", 1);
  params.max_tokens = arguments["max_new_tokens"];
  params.min_tokens = arguments.value("min_new_tokens", 0);
  params.length_penalty = arguments.value("length_penalty", 1.0);
  params.no_repeat_ngram_size = arguments.value("no_repeat_ngram_size", 0);
  params.repetition_penalty = arguments.value("repetition_penalty", 1.0);
  const json& stopping = arguments["early_stopping"];
  params.early_stopping = stopping == "never" ? EarlyStopping::never
                          : stopping == true  ? EarlyStopping::yes
                                              : EarlyStopping::no;
  return params;
}

TEST_P(GoldenModel, FindsTheBeamsOfTransformers) {
  LLM llm = load();
  std::vector<Prompt> prompts;
  std::vector<SamplingParams> params;
  for (const json& item : golden_["beam"]) {
    prompts.emplace_back(prompts_[item["prompt"].get<size_t>()]);
    params.push_back(beam_params(item["arguments"]));
  }
  const std::vector<RequestOutput> outputs = llm.generate(prompts, params);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const json& item = golden_["beam"][i];
    std::vector<Tokens> sequences;
    for (const Completion& completion : outputs[i].completions)
      sequences.push_back(completion.token_ids);
    EXPECT_EQ(sequences, item["sequences"].get<std::vector<Tokens>>()) << item["arguments"].dump();
    for (size_t j = 0; j < sequences.size() && item.contains("sequences_scores"); ++j)
      EXPECT_NEAR(outputs[i].completions[j].score, item["sequences_scores"][j].get<double>(), 1e-3)
          << item["arguments"].dump();
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GoldenModel, testing::ValuesIn(checkpoint_names()),
                         [](const auto& name) {
                           std::string test_name = name.param;
                           std::ranges::replace(test_name, '-', '_');
                           return test_name;
                         });

}  // namespace
}  // namespace veloz
