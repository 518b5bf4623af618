// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "veloz/types.h"

namespace veloz {

/// How far a long job is: `done` of `total` units ("bytes", "items") in the stage named.
struct Progress {
  std::string_view stage;
  uint64_t done = 0;
  uint64_t total = 0;
  std::string_view unit;
};

/// What to compile, and for what. Every default works.
struct BuildOptions {
  std::filesystem::path
      model{};  // directory in Hugging Face layout (config.json, *.safetensors, tokenizer)
  std::filesystem::path output{};  // engine directory to write
  std::string target = "cpu";  // "cpu", "cpu:ISA" for the layouts that ISA's kernels like best, or
                               // "cuda"
  std::string dtype = "auto";  // of activations and weights: auto (fp32 stays, fp16 and bf16 become
                               // bf16), bf16, fp32
  std::string kv_cache_dtype = "auto";  // auto (as dtype, or as the checkpoint was quantized for),
                                        // bf16, fp8 (fp8_e4m3) or int8: half the memory of bf16
  std::string load_format =
      "safetensors";  // or "dummy": seeded random weights from config.json alone; or
                      // "dummy-at-load": the same in kind, made when the engine is loaded
  uint64_t seed = 0;  // of dummy weights

  // Round to nearest while building. Nobody has evaluated the result: the engine's verdict is
  // UNGATED. `veloz quantize` calibrates and evaluates.
  std::string quant = "none";  // of all linears but lm_head: fp8, fp8-block, fp8-a16, int8,
                               // int8-a16, int4, int4-g128, int4-a16, int4-channel, int4-tensor
  std::vector<std::string> quant_layers{};  // "PATTERN=SCHEME" or "PATTERN=none": linears whose
                                            // module's name matches; the first match decides
  std::string quant_lm_head = "none";  // of lm_head, also where it shares the embedding's table

  // Of a checkpoint that is quantized already: auto (as it says), or int8: its 4- and 8-bit weights
  // meet int8 activations where it leaves those as they are (AWQ, GPTQ), which is two to three
  // times as fast on a CPU. Nobody has evaluated the result: the verdict is UNGATED.
  std::string quant_activations = "auto";

  int64_t max_model_len = 0;  // positions of one sequence; 0: what the model was trained for
  int64_t max_num_batched_tokens = 2048;
  int64_t max_num_seqs = 64;
  int64_t max_beam_width = 8;
  int64_t block_size = 64;  // positions of one KV-cache block, a multiple of 16

  std::vector<std::string> disabled_passes{};
  bool replace_existing = false;  // an engine at `output`; anything else there is never touched
  int num_threads = 0;            // 0: as many as this process may use
  std::function<void(const Progress&)> on_progress{};
};

/// What a build did.
struct BuildReport {
  std::filesystem::path engine;
  uint64_t weight_bytes = 0;
  int64_t num_parameters = 0;
  double seconds = 0;
  std::vector<std::string> warnings;  // about the checkpoint: "tensor ... has 3 NaN"
};

/// Compiles a checkpoint into an engine directory, written atomically: the same input, options and
/// target give the same bytes on any machine. Reads weights in pieces: anonymous memory stays below
/// 300 MB + 1.5 x the largest tensor x threads.
///
/// Throws Error: not_found, invalid_input or corrupt_data for a checkpoint that is missing,
/// malformed or not what its config.json says; unsupported for an architecture or feature that is
/// not there; io where the engine cannot be written.
BuildReport build(const BuildOptions& options);

/// The engine of `options.model`: the directory itself where it is an engine already, otherwise an
/// engine in `cache_dir`, built there where it is missing and taken from there where not. Cached
/// engines are keyed by the checkpoint's content, the options and the format's version; a second
/// builder of the same engine waits for the first. `options.output` is not used. Throws as `build`
/// does.
struct ResolvedEngine {
  std::filesystem::path engine;
  bool was_built = false;  // by this call
  BuildReport report;      // of this call's build
};
ResolvedEngine resolve_engine(const BuildOptions& options, const std::filesystem::path& cache_dir);

}  // namespace veloz
