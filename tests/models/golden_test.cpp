// SPDX-License-Identifier: Apache-2.0
// Small random checkpoints against what transformers computed with them
// (tests/golden/make_model_goldens.py): logits within 1e-4 of the largest, greedy tokens and
// beam-search sequences equal.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "compiler/pipeline.h"
#include "support/isas.h"
#include "support/prompt_logits.h"
#include "support/temp_directory.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::all_rows;
using test::decode_floats;
using test::prompt_logits;
using test::relative_error;
using test::Tokens;

const fs::path kGoldens = fs::path(VELOZ_TEST_DATA_DIR) / "golden" / "models";

std::vector<std::string> checkpoint_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGoldens))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

/// A way from a checkpoint to its tokens.
struct Way {
  std::string checkpoint;
  std::string isa;
  bool has_passes = true;
};

std::string name_of(const Way& way) {
  std::string name =
      fmt::format("{}_{}{}", way.checkpoint, way.isa, way.has_passes ? "" : "_without_passes");
  std::ranges::replace(name, '-', '_');
  return name;
}

std::string name_of_test(const testing::TestParamInfo<Way>& way) { return name_of(way.param); }

void PrintTo(const Way& way, std::ostream* out) { *out << name_of(way); }

/// Every checkpoint on every instruction set of this machine, and once without any pass.
std::vector<Way> all_ways() {
  std::vector<Way> ways;
  for (const std::string& checkpoint : checkpoint_names()) {
    for (const std::string& isa : test::isas_here()) ways.push_back({checkpoint, isa});
    ways.push_back({checkpoint, test::isas_here().back(), false});
  }
  return ways;
}

std::vector<std::string> every_pass() {
  std::vector<std::string> names;
  for (const compiler::PassEntry& entry : compiler::pipeline()) names.emplace_back(entry.name);
  return names;
}

void build_engine(const Way& way, const fs::path& output, const std::string& dtype) {
  BuildOptions options;
  options.model = kGoldens / way.checkpoint;
  options.output = output;
  options.target = "cpu:" + way.isa;
  options.dtype = dtype;
  options.max_num_seqs = 16;
  if (!way.has_passes) options.disabled_passes = every_pass();
  build(options);
}

/// An fp32 engine of the checkpoint, built for the test that asks.
class GoldenModel : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    golden_ = json::parse(std::ifstream(kGoldens / GetParam().checkpoint / "golden.json"));
    for (const json& prompt : golden_["prompts"]) prompts_.push_back(prompt.get<Tokens>());
    build_engine(GetParam(), engine(), "fp32");
  }

  fs::path engine() const { return directory_.path() / "engine"; }
  std::vector<float> logits(const Tokens& prompt, const std::vector<int32_t>& rows) const {
    return prompt_logits(engine(), GetParam().isa, prompt, rows);
  }
  LLM load() const {
    LLMOptions options;
    options.isa = GetParam().isa;
    options.num_threads = 2;
    return LLM::load(engine(), options);
  }

  test::TempDirectory directory_;
  json golden_;
  std::vector<Tokens> prompts_;
};

TEST_P(GoldenModel, GivesTheLogitsOfTransformersAtEveryPosition) {
  const std::vector<float> expected = decode_floats(golden_["logits"]["all_positions_of_prompt_1"]);
  EXPECT_LE(relative_error(logits(prompts_[1], all_rows(prompts_[1])), expected), 1e-4f);
}

TEST_P(GoldenModel, GivesTheLogitsOfTransformersAfterEveryPrompt) {
  const std::vector<float> expected = decode_floats(golden_["logits"]["last_positions"]);
  std::vector<float> actual;
  for (const Tokens& prompt : prompts_) {
    const std::vector<float> last = logits(prompt, {static_cast<int32_t>(prompt.size()) - 1});
    actual.insert(actual.end(), last.begin(), last.end());
  }
  EXPECT_LE(relative_error(actual, expected), 1e-4f);
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

INSTANTIATE_TEST_SUITE_P(Ways, GoldenModel, testing::ValuesIn(all_ways()), name_of_test);

/// Every pass declares that it moves no rounding.
class Passes : public testing::TestWithParam<Way> {};

TEST_P(Passes, ChangeNoBitOfTheLogits) {
  Way without = GetParam();
  without.has_passes = false;
  const Tokens prompt = {5, 3, 100, 7, 7, 1, 0, 58, 130, 12, 99};
  for (const std::string dtype : {"fp32", "bf16"}) {
    const test::TempDirectory directory;
    build_engine(GetParam(), directory.path() / "fused", dtype);
    build_engine(without, directory.path() / "plain", dtype);
    const auto run = [&](const char* engine) {
      return prompt_logits(directory.path() / engine, GetParam().isa, prompt, all_rows(prompt));
    };
    EXPECT_EQ(run("fused"), run("plain")) << dtype;
  }
}

std::vector<Way> ways_with_passes() {
  std::vector<Way> ways = all_ways();
  std::erase_if(ways, [](const Way& way) { return !way.has_passes; });
  return ways;
}

INSTANTIATE_TEST_SUITE_P(Ways, Passes, testing::ValuesIn(ways_with_passes()), name_of_test);

TEST(Goldens, CoverEveryArchitecture) {
  std::set<std::string> architectures;
  for (const std::string& name : checkpoint_names())
    architectures.insert(json::parse(std::ifstream(kGoldens / name / "config.json"))
                             .at("architectures")
                             .at(0)
                             .get<std::string>());
  EXPECT_EQ(architectures,
            (std::set<std::string>{"GPTJForCausalLM", "LlamaForCausalLM", "Qwen2ForCausalLM"}));
}

}  // namespace
}  // namespace veloz
