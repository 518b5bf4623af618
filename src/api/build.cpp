// SPDX-License-Identifier: Apache-2.0
#include "veloz/build.h"

#include <fmt/format.h>

#include <chrono>

#include "api/backend.h"
#include "api/build_options.h"
#include "api/engine_cache.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "compiler/build.h"
#include "engine/engine.h"
#include "text/text_files.h"

namespace veloz {

BuildReport build(const BuildOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const compiler::CompileOptions compile_options = api::to_compile_options(options);
  const ops::KernelRegistry target = api::target_registry(options.target);
  // What could not be loaded is not built: an engine holds these files as they are.
  text::load_text_files(options.model);
  ThreadPool pool(api::resolve_num_threads(options.num_threads));
  ProgressSink progress;
  if (options.on_progress)
    progress = [&](const ProgressUpdate& update) {
      options.on_progress({update.stage, update.done, update.total, update.unit});
    };
  compiler::CompileReport compiled = compiler::compile(compile_options, target, pool, progress);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return {options.output, compiled.weight_bytes, compiled.num_parameters, elapsed.count(),
          std::move(compiled.warnings)};
}

ResolvedEngine resolve_engine(const BuildOptions& options, const std::filesystem::path& cache_dir) {
  if (engine::Engine::is_engine(options.model)) return {options.model, false, {}};
  return api::find_or_build(options, cache_dir);
}

}  // namespace veloz
