// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/quantization.h"

namespace veloz::checkpoint {

/// A linear as it was written: its scheme, and what LinearLayout says of it.
struct WrittenLinear {
  LinearScheme scheme;
  std::string kind;
  bool is_per_tensor = false;
};

/// A scheme as JSON and back, for files that are kept between runs.
nlohmann::ordered_json to_json(const WrittenLinear& linear);
/// Throws an exception of the JSON library where it is none.
WrittenLinear written_linear_from(const nlohmann::json& json);

struct WrittenModel {
  std::map<std::string, WrittenLinear, std::less<>> linears;  // by module
  std::vector<std::string> ignored;                           // linears that stay as they were
  bool has_fp8_kv_cache = false;
};

/// config.json's "quantization_config".
nlohmann::ordered_json compressed_tensors_config(const WrittenModel& model);
nlohmann::ordered_json modelopt_config(const WrittenModel& model);
/// The content of hf_quant_config.json.
nlohmann::ordered_json modelopt_file(const WrittenModel& model);

}  // namespace veloz::checkpoint
