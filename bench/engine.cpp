// SPDX-License-Identifier: Apache-2.0
// Times a whole engine, through the public API, against what the machine can do, measured in the
// same run: prefill against the peak of bf16 dot products, decode against whichever of memory and
// arithmetic binds.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "bench/harness.h"
#include "engine/engine.h"
#include "ops/kv_layout.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz::bench {
namespace {

constexpr int64_t kDecodeSteps = 32;
constexpr int64_t kPrefillTokens[] = {128, 512};
constexpr int64_t kDecodeSequences[] = {1, 4, 16};

/// The shape of a Llama of 1.1 billion weights.
constexpr std::string_view kConfig = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
  "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
  "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000,
  "max_position_embeddings": 2048, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2
})";

/// An engine of that shape with random weights, built in `cache` where it is not there yet.
std::filesystem::path dummy_engine(const std::filesystem::path& cache) {
  const std::filesystem::path model = cache / "llama-1.1b-shape";
  std::filesystem::create_directories(model);
  if (!std::filesystem::exists(model / "config.json"))
    write_text_file(model / "config.json", kConfig);
  BuildOptions options;
  options.model = model;
  options.load_format = "dummy";
  options.dtype = "bf16";
  return resolve_engine(options, cache / "engines").engine;
}

/// What a step must do, from the engine's plan.
class Work {
 public:
  explicit Work(const engine::Engine& engine) : model_(engine.manifest().model) {
    const engine::Program& program = engine.plan().program("step");
    for (const engine::PlanStep& step : program.steps) {
      if (step.op != ops::Op::linear) continue;
      const engine::PlanValue& weight = program.values[static_cast<size_t>(step.inputs[1])];
      const engine::PlanValue& out = program.values[static_cast<size_t>(step.outputs[0])];
      const auto elements =
          static_cast<double>(weight.type.dims[0].value * weight.type.dims[1].value);
      weight_bytes_ += elements * static_cast<double>(dtype_bytes(weight.type.dtype));
      (out.type.dims[0].symbol == ops::Symbol::R ? per_row_ : per_token_) += 2 * elements;
    }
  }

  /// `tokens` tokens per sequence whose first is at `position`; logits of the last one.
  double flops(int64_t sequences, int64_t tokens, int64_t position) const {
    const double seen = static_cast<double>(tokens) *
                        (static_cast<double>(position) + static_cast<double>(tokens + 1) / 2);
    const double attention =
        4.0 * static_cast<double>(model_.num_layers * model_.num_heads * model_.head_dim) * seen;
    return static_cast<double>(sequences) *
           (static_cast<double>(tokens) * per_token_ + per_row_ + attention);
  }
  /// Weights once, and the cache of all sequences.
  double bytes(int64_t sequences, int64_t positions) const {
    const auto kv =
        static_cast<double>(2 * model_.num_layers * model_.num_kv_heads *
                            ops::kv_row_extent(model_.kv_cache_dtype, model_.head_dim)) *
        static_cast<double>(dtype_bytes(model_.kv_cache_dtype));
    return weight_bytes_ + kv * static_cast<double>(sequences * positions);
  }

 private:
  const engine::ModelFacts& model_;
  double weight_bytes_ = 0;
  double per_token_ = 0;  // flops of linears
  double per_row_ = 0;    // of lm_head
};

/// Random prompts, answered greedily and to the end.
class Requests {
 public:
  explicit Requests(LLM& llm) : llm_(llm) {}

  std::vector<RequestOutput> run(int64_t sequences, int64_t prompt_tokens, int64_t new_tokens) {
    std::vector<Prompt> prompts;
    for (int64_t s = 0; s < sequences; ++s) prompts.emplace_back(prompt(s, prompt_tokens));
    SamplingParams params;
    params.max_tokens = new_tokens;
    params.temperature = 0;
    params.ignore_eos = true;
    const std::vector<SamplingParams> all(prompts.size(), params);
    std::vector<RequestOutput> outputs = llm_.generate(prompts, all);
    for (const RequestOutput& output : outputs)
      if (output.error) throw Error(*output.error);
    return outputs;
  }
  double seconds(int64_t sequences, int64_t prompt_tokens, int64_t new_tokens) {
    return seconds_of([&] { run(sequences, prompt_tokens, new_tokens); });
  }
  /// The first sequence says the same alone as among its neighbours.
  std::string check(int64_t sequences, int64_t prompt_tokens) {
    constexpr int64_t kNewTokens = 4;
    const auto tokens = [&](int64_t count) {
      return run(count, prompt_tokens, kNewTokens).front().completions.front().token_ids;
    };
    return tokens(1) == tokens(sequences) ? "" : "a sequence depends on its neighbours";
  }

 private:
  std::vector<int32_t> prompt(int64_t sequence, int64_t length) const {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < length; ++i)
      ids.push_back(static_cast<int32_t>((sequence * 7919 + i * 104729 + 17) % llm_.vocab_size()));
    return ids;
  }

  LLM& llm_;
};

struct EngineOptions {
  Options bench;
  std::filesystem::path engine;
  std::filesystem::path cache = "build/bench-cache";
  int64_t context = 16;
};

std::vector<Case> engine_cases(LLM& llm, const Work& work, int64_t context) {
  std::vector<Case> cases;
  for (const int64_t tokens : kPrefillTokens)
    cases.push_back({.bench = "prefill",
                     .shape = fmt::format("tokens={}", tokens),
                     .kernel = "engine",
                     .flops = work.flops(1, tokens, 0),
                     .loop = cpu::PeakLoop::bf16_dot,
                     .bytes = work.bytes(1, tokens),
                     .tokens = static_cast<double>(tokens),
                     .seconds = [&llm, tokens] { return Requests(llm).seconds(1, tokens, 1); },
                     .check = [&llm, tokens] { return Requests(llm).check(1, tokens); }});
  for (const int64_t sequences : kDecodeSequences)
    cases.push_back(
        {.bench = "decode",
         .shape = fmt::format("sequences={} context={}", sequences, context),
         .kernel = "engine",
         .flops = work.flops(sequences, 1, context + kDecodeSteps / 2),
         .loop = cpu::PeakLoop::bf16_dot,
         .bytes = work.bytes(sequences, context + kDecodeSteps / 2),
         .tokens = static_cast<double>(sequences),
         .seconds =
             [&llm, sequences, context] {
               // With and without the steps: what is between is theirs alone.
               Requests requests(llm);
               const double without = requests.seconds(sequences, context, 1);
               const double with = requests.seconds(sequences, context, 1 + kDecodeSteps);
               return (with - without) / static_cast<double>(kDecodeSteps);
             },
         .check = [&llm, sequences, context] { return Requests(llm).check(sequences, context); }});
  return cases;
}

int run(const EngineOptions& options) {
  const std::filesystem::path directory =
      options.engine.empty() ? dummy_engine(options.cache) : options.engine;
  LLMOptions llm_options;
  llm_options.isa = options.bench.isa;
  llm_options.num_threads = options.bench.num_threads;
  llm_options.enable_prefix_caching = false;  // the same prompts come again and again
  std::optional<LLM> llm;
  const double load_s = seconds_of([&] { llm.emplace(LLM::load(directory, llm_options)); });
  if (!options.bench.json) fmt::print("loaded in {:.2f} s: {}\n", load_s, llm->description());

  Machine machine(options.bench);
  print_peaks(machine);
  const engine::Engine engine = engine::Engine::open(directory);
  const Work work(engine);
  bool is_right = true;
  for (const Case& c : engine_cases(*llm, work, options.context))
    if (fmt::format("{} {}", c.bench, c.shape).find(options.bench.filter) != std::string::npos)
      is_right = run_case(machine, c) && is_right;
  return is_right ? 0 : 1;
}

}  // namespace
}  // namespace veloz::bench

int main(int argc, char** argv) {
  CLI::App app(
      "A whole engine against the limits of this machine, measured in the same run. Without "
      "--engine, a Llama of 1.1 billion random weights is built first.");
  veloz::bench::EngineOptions options;
  app.add_option("--engine", options.engine, "engine directory");
  app.add_option("--cache", options.cache, "where the random engine is kept")
      ->capture_default_str();
  app.add_option("--context", options.context, "prompt tokens of a sequence that decodes")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  veloz::bench::add_flags(app, options.bench);
  app.footer("Example: veloz_bench_engine --filter decode --runs 15");
  return veloz::bench::run_main(app, argc, argv, [&] { return veloz::bench::run(options); });
}
