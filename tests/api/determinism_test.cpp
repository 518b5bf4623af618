// SPDX-License-Identifier: Apache-2.0
// Whole requests through the public API: tokens, log-probabilities and scores have the same bits
// whatever else runs, however prompts are cut, on any number of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "api/quantize.h"
#include "compiler/quant_schemes.h"
#include "support/checkpoint_files.h"
#include "support/golden_models.h"
#include "support/isas.h"
#include "support/mixed_requests.h"
#include "support/sanitized.h"
#include "support/temp_directory.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz {
namespace {

namespace fs = std::filesystem;
using compress::Recipe;
using test::MixedRequest;

struct Variant {
  std::string name;
  fs::path checkpoint;
  std::string dtype;
  bool is_random = false;  // tiny: many runs take no time
  std::string quant = "none";
  std::string kv_cache_dtype = "auto";
  std::optional<Recipe> recipe = {};
};

void PrintTo(const Variant& model, std::ostream* out) { *out << model.name; }

std::vector<Variant> every_model() {
  std::vector<Variant> models = {
      {"gptj_random_fp32", test::golden_model("gptj"), "fp32", true},
      {"gptj_random_bf16", test::golden_model("gptj"), "bf16", true},
      {"llama_random_fp32", test::golden_model("llama-gqa-bf16"), "fp32", true},
      {"llama_random_bf16", test::golden_model("llama-gqa-bf16"), "bf16", true},
      {"llama_random_bf16_kv_fp8", test::golden_model("llama-gqa-bf16"), "bf16", true, "none",
       "fp8"},
      {"llama_random_bf16_kv_int8", test::golden_model("llama-gqa-bf16"), "bf16", true, "none",
       "int8"},
      {"gptj_random_fp32_kv_bf16", test::golden_model("gptj"), "fp32", true, "none", "bf16"},
      {"gptj_random_fp32_kv_int8", test::golden_model("gptj"), "fp32", true, "none", "int8"}};
  for (const std::string name : {"gptj", "llama"})
    if (fs::exists(test::bundled_model("tiny-" + name)))
      models.push_back({"tiny_" + name, test::bundled_model("tiny-" + name), "auto", false});
  for (const compiler::QuantScheme& scheme : compiler::quant_schemes()) {
    if (scheme.has_one_scale) continue;  // runs as one with a scale per channel
    std::string name = "quantized_" + std::string(scheme.name);
    std::ranges::replace(name, '-', '_');
    models.push_back({name, "", "auto", false, std::string(scheme.name)});
  }
  // What no rounding while building makes: fixed scales of activations, zeros, act-order.
  if (fs::exists(test::bundled_model("tiny-llama")))
    for (const Recipe recipe : {Recipe::fp8, Recipe::int4_awq, Recipe::int4_gptq}) {
      std::string name = "recipe_" + std::string(to_string(recipe));
      std::ranges::replace(name, '-', '_');
      models.push_back({.name = name, .checkpoint = "", .dtype = "auto", .recipe = recipe});
    }
  return models;
}

/// Every scheme fits these shapes.
constexpr const char* kEvenLlama = R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 128,
  "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4,
  "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 131, "max_position_embeddings": 512,
  "rms_norm_eps": 1e-5, "dtype": "bfloat16", "tie_word_embeddings": true})";

/// The bundled Llama by that recipe, made once.
fs::path quantized_llama(const Variant& variant) {
  static const test::TempDirectory directory;
  api::QuantizeModelOptions options;
  options.quantize.model = test::bundled_model("tiny-llama");
  options.quantize.output = directory.path() / variant.name;
  options.quantize.recipe.recipe = *variant.recipe;
  options.quantize.recipe.group_size = 32;
  options.quantize.recipe.has_zeros = *variant.recipe == Recipe::int4_awq;
  options.quantize.calibration = {.files = {options.quantize.model / "calib.jsonl"},
                                  .num_samples = 8};
  if (!fs::exists(options.quantize.output)) api::quantize(options);
  return options.quantize.output;
}

class Determinism : public testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    BuildOptions options =
        test::small_build(GetParam().checkpoint, engine(), GetParam().dtype.c_str());
    options.kv_cache_dtype = GetParam().kv_cache_dtype;
    if (GetParam().recipe) options.model = quantized_llama(GetParam());
    if (GetParam().quant != "none") {
      options.model = directory_.path() / "even";
      fs::create_directories(options.model);
      test::write_bytes(options.model / "config.json", kEvenLlama);
      options.load_format = "dummy";
      options.quant = options.quant_lm_head = GetParam().quant;
    }
    build(options);
    LLM llm = load({.num_threads = 1});
    requests_ = test::mixed_requests(llm.vocab_size(), kMaxTokens);
    alone_ = test::run_alone(llm, requests_);
  }

  fs::path engine() const { return directory_.path() / "engine"; }
  LLM load(LLMOptions options) const {
    if (options.kv_cache_memory_bytes == 0) options.kv_cache_memory_bytes = size_t{48} << 20;
    return LLM::load(engine(), options);
  }
  void expect_as_alone(LLM& llm, const std::vector<size_t>& order) const {
    const std::vector<std::string> together = test::run_together(llm, requests_, order);
    for (size_t i = 0; i < requests_.size(); ++i)
      EXPECT_EQ(together[i], alone_[i]) << "request " << i;
  }

  static constexpr int64_t kMaxTokens = 8;
  test::TempDirectory directory_;
  std::vector<MixedRequest> requests_;
  std::vector<std::string> alone_;
};

TEST_P(Determinism, NeighboursAndThreadsChangeNothing) {
  for (const int num_threads : {1, 2, 3, 7}) {
    SCOPED_TRACE(num_threads);
    LLM llm = load({.num_threads = num_threads});
    expect_as_alone(llm, test::as_listed(requests_));
  }
}

TEST_P(Determinism, TheOrderOfSubmissionChangesNothing) {
  LLM llm = load({.num_threads = 2});
  std::vector<size_t> order = test::as_listed(requests_);
  std::ranges::reverse(order);
  expect_as_alone(llm, order);
  for (size_t i = 0; i < order.size(); i += 3) {
    std::ranges::rotate(order, order.begin() + 3);
    expect_as_alone(llm, order);
  }
}

TEST_P(Determinism, CallsFromManyThreadsChangeNothing) {
  LLM llm = load({.num_threads = 2});
  std::vector<std::string> outputs(requests_.size());
  {
    std::vector<std::jthread> callers;
    for (size_t i = 0; i < requests_.size(); ++i)
      callers.emplace_back([&, i] {
        outputs[i] = test::fingerprint(llm.generate(requests_[i].prompt, requests_[i].params));
      });
  }
  EXPECT_EQ(outputs, alone_);
}

TEST_P(Determinism, ACacheThatHoldsFewRequestsAtOnceChangesNothing) {
  LLM llm =
      load({.num_threads = 2, .kv_cache_memory_bytes = test::bytes_of_a_small_cache(engine())});
  expect_as_alone(llm, test::as_listed(requests_));
}

TEST_P(Determinism, EveryInstructionSetKeepsToItself) {
  for (const std::string& isa : test::isas_here()) {
    SCOPED_TRACE(isa);
    LLM whole = load({.isa = isa, .num_threads = 1});
    LLM chunked = load({.isa = isa, .num_threads = 3, .max_num_batched_tokens = 37});
    EXPECT_EQ(test::run_together(chunked, requests_, test::as_listed(requests_)),
              test::run_alone(whole, requests_));
  }
}

/// Runs the requests that fit into steps of `num_tokens` tokens.
void expect_chunks_change_nothing(const std::vector<MixedRequest>& requests,
                                  const std::vector<std::string>& alone, int64_t num_tokens,
                                  LLM& llm) {
  std::vector<MixedRequest> fitting;
  std::vector<std::string> expected;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].width() > num_tokens) continue;
    fitting.push_back(requests[i]);
    expected.push_back(alone[i]);
  }
  EXPECT_EQ(test::run_together(llm, fitting, test::as_listed(fitting)), expected)
      << "steps of " << num_tokens << " tokens";
}

/// Step sizes around one token, the prompts' lengths, blocks and attention's leaves.
std::vector<int64_t> chosen_sizes() { return {1, 3, 16, 17, 63, 65, 129, 255, 257, 261}; }

TEST_P(Determinism, ChunksChangeNothing) {
  // Of the tiny models every size up to a block and a little more.
  std::vector<int64_t> sizes = chosen_sizes();
  if (GetParam().is_random && !test::kSanitized)
    for (int64_t size = 1; size <= 66; ++size) sizes.push_back(size);
  for (const int64_t num_tokens : sizes) {
    LLM llm = load({.num_threads = 2,
                    .max_num_seqs = std::min<int64_t>(num_tokens, 16),
                    .max_num_batched_tokens = num_tokens});
    expect_chunks_change_nothing(requests_, alone_, num_tokens, llm);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Determinism, testing::ValuesIn(every_model()),
                         [](const auto& model) { return model.param.name; });

}  // namespace
}  // namespace veloz
