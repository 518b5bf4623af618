// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/backend.h"
#include "base/progress.h"
#include "compress/measured_model.h"
#include "eval/gate_report.h"

namespace veloz::api {

/// What to measure, and on what.
struct EvaluateOptions {
  std::filesystem::path engine;
  std::filesystem::path reference;  // engine of the original, or "": no gate
  std::filesystem::path dataset;    // JSONL as eval::add_items reads it, or ""
  std::filesystem::path text;       // plain text, or ""
  std::optional<eval::Task> task;   // as eval::EvalSetOptions
  std::optional<int64_t> limit;
  std::optional<int64_t> max_tokens;  // of an answer; none: generation_config.json's, or 128
  std::optional<int64_t> num_beams;   // none: generation_config.json's, or 1
  BackendRequest backend{};
  int64_t max_num_seqs = 0;          // answers generated at once; 0: 16
  size_t kv_cache_memory_bytes = 0;  // of each model; 0: 256 MiB
  /// As compress::GateOptions.
  std::vector<compress::Answer>* reference_answers = nullptr;
  ProgressSink on_progress;
  std::function<bool()> should_stop;
};

/// Loads the engine, and the reference beside it, measures both on the data and judges. Throws as
/// LLM::load and the readers of the data; Error(invalid_input) for models that have not one
/// tokenizer.
eval::GateReport evaluate(const EvaluateOptions& options);

}  // namespace veloz::api
