// SPDX-License-Identifier: Apache-2.0
#include "veloz/build.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "cli/quant_flags.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "engine/engine.h"

namespace veloz::cli {
namespace {

struct BuildFlags {
  BuildOptions options;
  bool json = false;
};

int run_build(const BuildFlags& flags) {
  BuildOptions options = flags.options;
  BuildReport report;
  {
    ProgressBar bar;
    options.on_progress = [&bar](const Progress& progress) { bar.update(progress); };
    report = build(options);
  }
  for (const std::string& warning : report.warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (flags.json) {
    const nlohmann::ordered_json json = {{"engine", report.engine.string()},
                                         {"weight_bytes", report.weight_bytes},
                                         {"num_parameters", report.num_parameters},
                                         {"seconds", report.seconds},
                                         {"warnings", report.warnings}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("built {}: {} parameters, {} of weights, in {}\n", report.engine.string(),
               format_count(report.num_parameters), format_bytes(report.weight_bytes),
               format_seconds(report.seconds));
  }
  return 0;
}

}  // namespace

void add_build(CLI::App& app, Action& action) {
  auto flags = std::make_shared<BuildFlags>();
  BuildOptions& options = flags->options;
  CLI::App& verb = *app.add_subcommand(
      "build", "Compile a checkpoint (a directory in Hugging Face layout) into an engine");
  verb.add_option("model", options.model, "Directory with config.json, *.safetensors and tokenizer")
      ->required();
  verb.add_option("-o,--output", options.output, "Engine directory to write")->required();
  verb.add_option("--target", options.target,
                  "What it will run on: cpu, cpu:ISA, or cuda (Hopper GPUs)")
      ->envname("VELOZ_TARGET")
      ->capture_default_str();
  verb.add_option(
          "--dtype", options.dtype,
          "Activations and weights: auto (fp32 stays, fp16 and bf16 become bf16), bf16, fp32")
      ->envname("VELOZ_DTYPE")
      ->capture_default_str();
  verb.add_option("--kv-cache-dtype", options.kv_cache_dtype,
                  "KV cache: auto (as --dtype, or as the checkpoint was quantized for), bf16, fp8 "
                  "(also fp8_e4m3), int8")
      ->envname("VELOZ_KV_CACHE_DTYPE")
      ->capture_default_str();
  add_quant_flags(verb, options);
  verb.add_option("--max-model-len", options.max_model_len,
                  "Positions of one sequence; 0: what the model was trained for")
      ->envname("VELOZ_MAX_MODEL_LEN")
      ->capture_default_str();
  verb.add_option("--max-num-batched-tokens", options.max_num_batched_tokens, "Tokens of one step")
      ->envname("VELOZ_MAX_NUM_BATCHED_TOKENS")
      ->capture_default_str();
  verb.add_option("--max-num-seqs", options.max_num_seqs, "Sequences of one step")
      ->envname("VELOZ_MAX_NUM_SEQS")
      ->capture_default_str();
  verb.add_option("--max-beam-width", options.max_beam_width, "Beams of one request")
      ->capture_default_str();
  verb.add_option("--block-size", options.block_size,
                  "Positions of one KV-cache block, a multiple of 16")
      ->capture_default_str();
  verb.add_option(
          "--load-format", options.load_format,
          "safetensors, or, for benchmarks, seeded random weights from config.json alone: dummy, "
          "or dummy-at-load, which are not stored but made when the engine is loaded")
      ->capture_default_str();
  verb.add_option("--seed", options.seed, "Seed of dummy weights")->capture_default_str();
  verb.add_option("--disable-pass", options.disabled_passes,
                  "Leave out a pass of the compiler (repeatable)")
      ->allow_extra_args(false);
  verb.add_option("--threads", options.num_threads, "Threads; 0: as many as this process may use")
      ->envname("VELOZ_THREADS")
      ->capture_default_str();
  verb.add_flag("--force", options.replace_existing, "Replace an engine that is there");
  verb.add_flag("--json", flags->json, "Print the result as one JSON object");
  verb.footer("Example:\n  veloz build models/tiny-llama -o tiny.engine --quant int8");
  verb.callback([flags, &action] { action = [flags] { return run_build(*flags); }; });
}

}  // namespace veloz::cli
