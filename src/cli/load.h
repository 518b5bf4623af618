// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "veloz/build.h"
#include "veloz/llm.h"

namespace CLI {
class App;
}

namespace veloz::cli {

/// An engine or model directory, and how to load it: shared by the verbs that run a model.
struct LoadFlags {
  std::filesystem::path model;
  std::filesystem::path
      cache_dir;  // empty: $XDG_CACHE_HOME/veloz/engines, or ~/.cache/veloz/engines
  BuildOptions
      build;  // of an engine that is built on the way: dtype, kv_cache_dtype, max_model_len, quant
  LLMOptions llm;
};

void add_load_flags(CLI::App& verb, LoadFlags& flags);

/// Of these, those that say which engine and with what it runs, not how it serves.
void add_engine_flags(CLI::App& verb, LoadFlags& flags);

struct LoadedModel {
  LLM llm;
  std::filesystem::path engine;
  double load_s = 0;  // without building
};

/// How an engine is built on the way.
BuildOptions build_options(const LoadFlags& flags);

/// The engine, built into the cache first where that is needed, with a progress bar on a terminal.
ResolvedEngine resolve_model(const LoadFlags& flags);

/// As resolve_model, saying on stderr what was built, and loads it.
LoadedModel load_model(const LoadFlags& flags);

}  // namespace veloz::cli
