// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/formats/module_tensors.h"
#include "checkpoint/formats/stored_linear.h"

namespace veloz::checkpoint {

/// What a reader of a format is given. Included by this room's .cpp files only.
struct FormatInput {
  const Checkpoint& files;
  const nlohmann::json& config;  // the quantization_config, an object
  int64_t num_layers = 0;
};

struct FormatContent {
  std::map<std::string, std::unique_ptr<StoredLinear>, std::less<>> linears;  // by module
  std::optional<DType> kv_cache;
  std::vector<KvScales> kv_scales;  // per layer
};

// One file each. They throw Error(unsupported) naming the value that is not read and those that
// are, Error(invalid_input) or Error(not_found) where config and tensors disagree.
FormatContent read_modelopt(const FormatInput& input);
FormatContent read_compressed_tensors(const FormatInput& input);
FormatContent read_fp8(const FormatInput& input);
FormatContent read_awq(const FormatInput& input);
FormatContent read_gptq(const FormatInput& input);

/// The modules that have a tensor of this name: "qweight", "weight".
std::vector<std::string> modules_with(const Checkpoint& files, std::string_view part);
/// The same, of tensors of this dtype.
std::vector<std::string> modules_with(const Checkpoint& files, std::string_view part, DType dtype);

/// Throws Error(unsupported): `value` of `key` is not read, `supported` is.
[[noreturn]] void refuse_value(std::string_view key, const nlohmann::json& value,
                               std::string_view supported);
/// Throws Error(invalid_input) where no module was found: none has `wanted`.
void require_modules(const FormatContent& content, std::string_view method,
                     std::string_view wanted);

/// Scales of the fp8 KV cache under the names that ModelOpt, compressed-tensors and AutoFP8 give
/// them; empty where there are none at all. Throws Error(not_found) where some layers lack them.
std::vector<KvScales> read_kv_scales(const FormatInput& input);

/// The rows of `weight_scale` [N] or [N, 1] of each own scale: 1; of a single number for all: N.
/// Throws Error(invalid_input) for another shape.
int64_t rows_per_scale(const ModuleTensors& tensors, std::string_view part, int64_t rows);

/// A list of strings under `key`; absent or null: none.
std::vector<std::string> get_strings(const nlohmann::json& object, const char* key);

}  // namespace veloz::checkpoint
