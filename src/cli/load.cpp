// SPDX-License-Identifier: Apache-2.0
#include "cli/load.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "api/backend.h"
#include "cli/environment.h"
#include "cli/generation_flags.h"
#include "cli/quant_flags.h"
#include "cli/terminal.h"
#include "veloz/build.h"

namespace veloz::cli {

void add_load_flags(CLI::App& verb, LoadFlags& flags) {
  add_engine_flags(verb, flags);
  add_llm_flags(verb, flags.llm);
}

void add_engine_flags(CLI::App& verb, LoadFlags& flags) {
  verb.add_option("model", flags.model,
                  "Engine directory, or a model directory (built into the cache first)")
      ->required();
  verb.add_option("--dtype", flags.build.dtype, "Of an engine built on the way: auto, bf16, fp32")
      ->envname("VELOZ_DTYPE")
      ->capture_default_str();
  verb.add_option("--kv-cache-dtype", flags.build.kv_cache_dtype,
                  "KV cache of an engine built on the way: auto, bf16, fp8, int8")
      ->envname("VELOZ_KV_CACHE_DTYPE")
      ->capture_default_str();
  verb.add_option("--max-model-len", flags.build.max_model_len,
                  "Of an engine built on the way: positions of one sequence; 0: what the model was "
                  "trained for")
      ->envname("VELOZ_MAX_MODEL_LEN")
      ->capture_default_str();
  add_quant_flags(verb, flags.build);
  verb.add_option("--cache-dir", flags.cache_dir, "Where engines of model directories are kept")
      ->envname("VELOZ_CACHE_DIR");
  add_device_flags(verb, flags.llm);
}

BuildOptions build_options(const LoadFlags& flags) {
  BuildOptions options = flags.build;
  options.model = flags.model;
  // An engine built for this run must allow what this run asks for.
  options.max_num_seqs = std::max(options.max_num_seqs, flags.llm.max_num_seqs);
  options.max_num_batched_tokens = std::max(
      {options.max_num_batched_tokens, flags.llm.max_num_batched_tokens, options.max_num_seqs});
  options.num_threads = flags.llm.num_threads;
  options.target = api::target_of_device(flags.llm.device);
  return options;
}

ResolvedEngine resolve_model(const LoadFlags& flags) {
  api::require_device(flags.llm.device);  // before anything is built for it
  BuildOptions options = build_options(flags);
  ResolvedEngine resolved;
  {
    ProgressBar bar;
    options.on_progress = [&bar](const Progress& progress) { bar.update(progress); };
    resolved =
        resolve_engine(options, flags.cache_dir.empty() ? default_engine_cache() : flags.cache_dir);
  }
  return resolved;
}

LoadedModel load_model(const LoadFlags& flags) {
  ResolvedEngine resolved = resolve_model(flags);
  if (resolved.was_built)
    fmt::print(stderr, "built {} into {} in {}\n", flags.model.string(), resolved.engine.string(),
               format_seconds(resolved.report.seconds));
  for (const std::string& warning : resolved.report.warnings)
    fmt::print(stderr, "warning: {}\n", warning);
  const auto start = std::chrono::steady_clock::now();
  LLM llm = LLM::load(resolved.engine, flags.llm);
  if (const std::string warning = llm.warning(); !warning.empty())
    fmt::print(stderr, "warning: {}\n", warning);
  for (const std::string& notice : llm.notices()) fmt::print(stderr, "{}\n", notice);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return {std::move(llm), std::move(resolved.engine), elapsed.count()};
}

}  // namespace veloz::cli
