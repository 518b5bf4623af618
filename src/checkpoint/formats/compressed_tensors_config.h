// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "checkpoint/formats/name_pattern.h"

namespace veloz::checkpoint {

/// How compressed-tensors describes numbers: QuantizationArgs.
struct QuantArgs {
  enum class Strategy { tensor, channel, group, block, token };
  int64_t bits = 8;
  bool is_float = false;
  bool is_symmetric = true;
  bool is_dynamic = false;
  Strategy strategy = Strategy::tensor;
  int64_t group_size = 0;     // of strategy group
  int64_t block_rows = 0;     // of strategy block
  int64_t block_columns = 0;  // of strategy block
  bool has_order = false;     // columns were assigned to groups by importance
};

/// One of config_groups.
struct QuantGroup {
  std::vector<NamePattern> targets;  // by name
  bool targets_all_linears = false;  // by class: "Linear"
  QuantArgs weights;
  std::optional<QuantArgs> input_activations;
};

/// The quantization_config of `quant_method` "compressed-tensors", checked for what is read at all.
struct CompressedTensorsConfig {
  std::vector<QuantGroup> groups;
  std::vector<NamePattern> ignored;
  bool has_fp8_kv_cache = false;

  /// Null where the module is not to be quantized. Names and patterns come before classes.
  const QuantGroup* find(std::string_view module) const;
};

/// Throws Error(unsupported) or Error(invalid_input) naming the value.
CompressedTensorsConfig parse_compressed_tensors_config(const nlohmann::json& config);

}  // namespace veloz::checkpoint
