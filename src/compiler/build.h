// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "compiler/quant_schemes.h"
#include "engine/engine.h"
#include "ops/kernel.h"

namespace veloz::compiler {

/// The graph as its architecture's file writes it, before the passes, beside graph.txt: so that
/// `veloz inspect` can show what each pass did.
inline constexpr std::string_view kImportedGraphFile = "graph.imported.txt";

/// How the linears are quantized (compiler/quant_plan_text.h), where they are: for the same.
inline constexpr std::string_view kQuantizationFile = "quantization.txt";
/// The evaluation of a compressed checkpoint, as it lay there.
inline constexpr std::string_view kEngineGateFile = "gate.json";

/// dummy_at_load: the engine holds no weights, they are made when it is loaded.
enum class LoadFormat { safetensors, dummy, dummy_at_load };
enum class DTypeChoice { automatic, bf16, fp32 };

struct CompileOptions {
  std::filesystem::path model;
  std::filesystem::path output;
  std::string target = "cpu";  // as it is recorded
  DTypeChoice dtype = DTypeChoice::automatic;
  std::optional<DType> kv_cache_dtype;  // bf16, fp8_e4m3 or int8; nothing: as the model wants it
  LoadFormat load_format = LoadFormat::safetensors;
  uint64_t seed = 0;
  QuantRequest quantization;
  /// Of a checkpoint whose weights alone are quantized: activations meet them as int8.
  bool quantizes_activations = false;
  engine::Limits limits;  // max_model_len 0: the model's own
  std::vector<std::string> disabled_passes;
  engine::EngineWriter::Existing existing = engine::EngineWriter::Existing::refuse;
};

struct CompileReport {
  uint64_t weight_bytes = 0;
  int64_t num_parameters = 0;
  std::vector<std::string> warnings;
};

/// Checkpoint -> graph -> passes -> plan -> engine directory. `target` holds the kernels and
/// layouts of the device the engine is for; nothing is run on it.
CompileReport compile(const CompileOptions& options, const ops::KernelRegistry& target,
                      ThreadPool& pool, const ProgressSink& progress);

/// What `compile` would make, as far as it can be known without weights.
struct PlannedModel {
  engine::Plan plan;
  engine::ModelFacts model;
};

/// Reads the configuration alone, of quantized checkpoints the tensors' headers too. Throws as
/// `compile`.
PlannedModel plan_model(const CompileOptions& options, const ops::KernelRegistry& target);

/// What identifies the result of `compile` beside the format's version: content of the checkpoint
/// and options. Reads headers and a sample of the data only, so that it is quick.
std::string cache_key(const CompileOptions& options);

}  // namespace veloz::compiler
