// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/progress.h"
#include "compress/quantize/quantize_model.h"
#include "compress/quantize/quantize_report.h"
#include "eval/verdict.h"

namespace veloz::api {

/// What a quantized model is held against the original on.
struct QuantizeGate {
  std::filesystem::path dataset;  // JSONL as `veloz eval` reads it; "" with text "": no gate
  std::filesystem::path text;     // plain text
  std::optional<int64_t> limit;   // items at most
  /// What `auto` must reach.
  eval::Verdict least = eval::Verdict::pass_99;
};

struct QuantizeModelOptions {
  compress::QuantizeOptions quantize;
  QuantizeGate gate;
  std::string isa;
  int num_threads = 0;
  ProgressSink on_progress;
  std::function<bool()> should_stop;
};

/// Quantizes a model directory into another, builds engines of both, holds one against the other,
/// and writes report and verdict into the new directory (report.md, report.json, veloz_gate.json).
/// Throws as compress::QuantizeJob, build and evaluate do; Error(invalid_input) for recipe auto
/// without a gate. An interrupted run goes on where it stopped when it is called again.
compress::QuantizeReport quantize(const QuantizeModelOptions& options);

}  // namespace veloz::api
