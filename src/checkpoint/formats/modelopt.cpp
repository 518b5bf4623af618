// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/config_fields.h"
#include "checkpoint/formats/format_reader.h"
#include "checkpoint/formats/name_pattern.h"
#include "checkpoint/formats/row_linear.h"
#include "checkpoint/formats/scheme_rules.h"
#include "checkpoint/json_text.h"

// NVIDIA's Model Optimizer, unified Hugging Face export. Of each linear: weight, weight_scale (one
// number, [N], or per block), input_scale (one number) where activations have a fixed scale.
namespace veloz::checkpoint {
namespace {

constexpr const char* kAlgorithms =
    "FP8, FP8_PER_CHANNEL_PER_TOKEN, FP8_PB_WO, W8A8_SQ_PER_CHANNEL, W8A16, and MIXED_PRECISION of "
    "these";
constexpr Range<int64_t> kBlockSizes{1, int64_t{1} << 20};
constexpr int64_t kDefaultBlock = 128;

std::string upper_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

/// What the two files that may hold it say alike: hf_quant_config.json's "quantization" object, and
/// config.json's "quantization_config".
struct ModelOptConfig {
  std::string algorithm;
  std::map<std::string, std::string, std::less<>> algorithm_of;  // MIXED_PRECISION: by module
  std::vector<NamePattern> excluded;
  bool has_fp8_kv_cache = false;
  int64_t block = kDefaultBlock;

  /// "" where the module is not to be quantized.
  std::string find(const std::string& module) const {
    if (algorithm != "MIXED_PRECISION") return algorithm;
    const auto found = algorithm_of.find(module);
    return found == algorithm_of.end() ? "" : found->second;
  }
};

bool parse_kv_cache(const ConfigFields& fields) {
  for (const char* key : {"kv_cache_quant_algo", "kv_cache_scheme"}) {
    if (!fields.has(key)) continue;
    const nlohmann::json& value = fields.at(key);
    if (value.is_object()) {
      const ConfigFields scheme(value);
      if (scheme.get_int("num_bits", {1, 64}, 8) == 8 &&
          scheme.try_string("type").value_or("float") == "float" &&
          !scheme.get_bool("dynamic", false))
        return true;
    } else if (value.is_string() && upper_case(value.get<std::string>()) == "FP8") {
      return true;
    }
    refuse_value(key, value, "FP8, null");
  }
  return false;
}

ModelOptConfig parse_config(const nlohmann::json& config) {
  // Some versions put hf_quant_config.json's object into config.json as it is.
  const bool is_nested = config.contains("quantization") && config["quantization"].is_object();
  const nlohmann::json& object = is_nested ? config["quantization"] : config;
  const ConfigFields fields(object);
  ModelOptConfig parsed;
  parsed.algorithm = upper_case(fields.try_string("quant_algo").value_or(""));
  parsed.has_fp8_kv_cache = parse_kv_cache(fields);
  parsed.block = fields.get_int("group_size", kBlockSizes, kDefaultBlock);
  for (const char* key : {"exclude_modules", "ignore"})
    for (const std::string& pattern : get_strings(object, key))
      parsed.excluded.push_back(NamePattern::wildcard(pattern));
  if (!fields.has("quantized_layers")) return parsed;
  const nlohmann::json& layers = fields.at("quantized_layers");
  if (!layers.is_object()) refuse_value("quantized_layers", layers, "an object of modules");
  for (const auto& [module, layer] : layers.items()) {
    if (!layer.is_object()) refuse_value("quantized_layers", layer, "an object for each module");
    parsed.algorithm_of[module] =
        upper_case(ConfigFields(layer).try_string("quant_algo").value_or(""));
  }
  return parsed;
}

LinearScheme scheme_of(const ModuleTensors& tensors, const std::string& algorithm) {
  LinearScheme scheme;
  scheme.weight = DType::fp8_e4m3;
  if (algorithm == "FP8" || algorithm == "FP8_PER_CHANNEL_PER_TOKEN") {
    scheme.activation = DType::fp8_e4m3;
  } else if (algorithm == "W8A8_SQ_PER_CHANNEL") {
    scheme.weight = DType::int8;
    scheme.activation = DType::int8;
  } else if (algorithm == "W8A16") {
    scheme.weight = DType::int8;
  } else if (algorithm != "FP8_PB_WO") {
    refuse_value("quant_algo", algorithm, kAlgorithms);
  }
  if (algorithm == "FP8" || algorithm == "W8A8_SQ_PER_CHANNEL")
    scheme.input_scale = tensors.read_scale("input_scale");
  return scheme;
}

/// [ceil(N / block), ceil(K / block)], or with ones between as ModelOpt's block scales come.
void check_block_scales(const ModuleTensors& tensors, const Shape& weight, int64_t block) {
  const Shape shape =
      tensors.require("weight_scale", {DType::fp32, DType::bf16, DType::fp16}).shape;
  const int64_t rows = ceil_div(weight[0], block);
  const int64_t columns = ceil_div(weight[1], block);
  if (shape != Shape{rows, columns} && shape != Shape{rows, 1, columns, 1})
    tensors.refuse_shape("weight_scale", shape, to_string(Shape{rows, columns}));
}

std::unique_ptr<StoredLinear> read_linear(const ModuleTensors& tensors,
                                          const std::string& algorithm, int64_t block) {
  if (tensors.find("pre_quant_scale"))
    throw Error(ErrorKind::unsupported,
                fmt::format("tensor \"{}\" scales activations before they are quantized, which is "
                            "not supported",
                            tensors.name("pre_quant_scale")),
                "export the model with these scales folded into the layers before");
  LinearScheme scheme = scheme_of(tensors, algorithm);
  const Shape shape = tensors.require("weight", {scheme.weight}).shape;
  RowLinear::Layout layout{
      .weight = tensors.name("weight"), .scale = tensors.name("weight_scale"), .zero = {}};
  if (algorithm == "FP8_PB_WO") {
    scheme.group = normalized_group(block, shape[1]);
    layout.rows_per_scale = block;
  }
  check_scheme(tensors.module(), scheme, shape[1]);
  if (algorithm == "FP8_PB_WO")
    check_block_scales(tensors, shape, block);
  else
    layout.rows_per_scale = rows_per_scale(tensors, "weight_scale", shape[0]);
  return std::make_unique<RowLinear>(
      tensors.files(), StoredLinear::Facts{tensors.module(), scheme, shape[0], shape[1], {}},
      std::move(layout));
}

/// How a module is quantized whose weight has this dtype. Throws Error(invalid_input) where the
/// config leaves it out.
std::string algorithm_of(const ModelOptConfig& config, const std::string& module, DType dtype) {
  const NamePattern* const excluded = find_match(config.excluded, module);
  std::string algorithm = config.find(module);
  const bool is_unnamed = algorithm.empty() && !config.algorithm.empty();
  if (excluded == nullptr && !is_unnamed) return algorithm;
  throw Error(
      ErrorKind::invalid_input,
      fmt::format("tensor \"{}.weight\" has dtype {}, but {} leaves the module out of the "
                  "quantization",
                  module, to_string(dtype),
                  excluded != nullptr ? shown(excluded->text()) : "\"quantized_layers\""),
      "weights and quantization config disagree; check that both come from the same revision");
}

}  // namespace

FormatContent read_modelopt(const FormatInput& input) {
  const ModelOptConfig config = parse_config(input.config);
  FormatContent content;
  for (const DType dtype : {DType::fp8_e4m3, DType::int8}) {
    for (const std::string& module : modules_with(input.files, "weight", dtype)) {
      content.linears[module] = read_linear(ModuleTensors(input.files, module),
                                            algorithm_of(config, module, dtype), config.block);
    }
  }
  if (config.has_fp8_kv_cache) {
    content.kv_cache = DType::fp8_e4m3;
    content.kv_scales = read_kv_scales(input);
  }
  // A cache alone may be quantized.
  if (config.algorithm.empty() && config.has_fp8_kv_cache) return content;
  if (content.linears.empty()) {
    const bool is_known =
        std::string_view(kAlgorithms).find(config.algorithm) != std::string_view::npos;
    if (config.algorithm.empty() || !is_known)
      refuse_value("quant_algo", config.algorithm, kAlgorithms);
  }
  require_modules(content, config.algorithm, "a weight of F8_E4M3 or I8");
  return content;
}

}  // namespace veloz::checkpoint
