// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>

#include "checkpoint/quantization.h"
#include "checkpoint/tensor_source.h"

namespace veloz::checkpoint {

/// Where ModelOpt says how a model is quantized; other formats say it in config.json.
inline constexpr const char* kModelOptConfigFile = "hf_quant_config.json";

/// A file of its own that says how a model is quantized, and the method where it names none.
struct QuantConfigFile {
  const char* name;
  const char* method;
};
/// AutoGPTQ's and AutoAWQ's are of the time before they wrote it into config.json.
inline constexpr std::array<QuantConfigFile, 3> kQuantConfigFiles = {{
    {kModelOptConfigFile, "modelopt"},
    {"quantize_config.json", "gptq"},
    {"quant_config.json", "awq"},
}};

/// A quantized checkpoint of others.
struct QuantizedModel {
  std::unique_ptr<TensorSource> tensors;  // with the canonical names of quantization.h
  QuantPlan plan;
};

/// Opens a model directory in which quantization_config of config.json, or a file of
/// kQuantConfigFiles, names a quantization: ModelOpt, compressed-tensors, fp8 (DeepSeek, AutoFP8),
/// AWQ or GPTQ. Nothing where none does. Reads headers, fixed scales and orders of columns; codes
/// and scales of weights are read, turned into canonical ones and checked when rows are asked for.
///
/// Throws Error(unsupported) for a method or scheme that is not read, naming it and what is;
/// Error(not_found) for a tensor that is missing, Error(invalid_input) where config and tensors
/// disagree; what Checkpoint::open and load_model_config throw.
std::optional<QuantizedModel> open_quantized(const std::filesystem::path& model_dir);

}  // namespace veloz::checkpoint
