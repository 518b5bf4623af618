// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "compress/quantize/quantize_layer.h"
#include "eval/gate_report.h"

namespace veloz::compress {

/// One assignment that `auto` tried.
struct AutoTry {
  int64_t stored_bytes = 0;  // of the linears
  eval::Verdict verdict = eval::Verdict::ungated;
};

/// What `veloz quantize` did, and what it cost.
struct QuantizeReport {
  std::string model;   // as the user named it
  std::string output;  // likewise
  std::string recipe;
  std::string producer;  // "veloz 0.1.0"
  int64_t num_calibration_texts = 0;
  int64_t num_calibration_tokens = 0;
  std::vector<LinearReport> linears;  // in the order of the model
  std::vector<std::string> kept;      // linears that stayed as they were
  int64_t original_bytes = 0;         // of all linears of the layers
  int64_t stored_bytes = 0;
  std::optional<std::string> kv_cache;  // "fp8_e4m3"
  std::vector<AutoTry> tries;           // of recipe auto, in order
  std::optional<eval::GateReport> gate;

  eval::Verdict verdict() const { return gate ? gate->verdict : eval::Verdict::ungated; }
};

/// Stable keys, as docs/quantization.md lists them; null for a number that is not finite.
nlohmann::ordered_json to_json(const QuantizeReport& report);
/// A page for people: verdict, sizes, the gate's measurements, the linears with the largest errors
/// first.
std::string to_markdown(const QuantizeReport& report);

/// What lies beside the weights as checkpoint::kGateFile: {"verdict", "reason", "producer",
/// "gate"}.
nlohmann::ordered_json gate_file(const QuantizeReport& report);

}  // namespace veloz::compress
