// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/quantization_json.h"

#include <fmt/format.h>

#include <set>

#include "base/error.h"

namespace veloz::checkpoint {
namespace {

using nlohmann::ordered_json;

constexpr const char* kMixed = "mixed-precision";

DType dtype_from(const nlohmann::json& name) {
  const std::optional<DType> dtype = try_parse_dtype(name.get<std::string>());
  VELOZ_CHECK(dtype.has_value(), "no dtype {}", name.get<std::string>());
  return *dtype;
}

ordered_json weight_args(const WrittenLinear& linear) {
  const LinearScheme& scheme = linear.scheme;
  ordered_json args = {{"num_bits", scheme.weight == DType::uint4x2 ? 4 : 8},
                       {"type", scheme.weight == DType::fp8_e4m3 ? "float" : "int"},
                       {"symmetric", !scheme.has_zeros},
                       {"strategy", linear.is_per_tensor ? "tensor"
                                    : scheme.group == 0  ? "channel"
                                                         : "group"},
                       {"dynamic", false}};
  if (scheme.group != 0) args["group_size"] = scheme.group;
  if (scheme.has_permutation) args["actorder"] = "group";
  return args;
}

ordered_json activation_args(const LinearScheme& scheme) {
  if (!scheme.activation) return nullptr;
  ordered_json args = {{"num_bits", 8},
                       {"type", scheme.activation == DType::fp8_e4m3 ? "float" : "int"},
                       {"symmetric", true},
                       {"strategy", scheme.input_scale             ? "tensor"
                                    : scheme.activation_group == 0 ? "token"
                                                                   : "group"},
                       {"dynamic", !scheme.input_scale}};
  if (scheme.activation_group != 0) args["group_size"] = scheme.activation_group;
  return args;
}

/// Linears that one group of the config describes, whose fixed scales may differ.
struct Group {
  ordered_json config;
  std::vector<std::string> modules;
};

std::vector<Group> group_linears(const WrittenModel& model) {
  std::vector<Group> groups;
  for (const auto& [module, linear] : model.linears) {
    const ordered_json config = {{"targets", ordered_json::array()},
                                 {"weights", weight_args(linear)},
                                 {"input_activations", activation_args(linear.scheme)},
                                 {"output_activations", nullptr},
                                 {"format", linear.kind}};
    auto found = groups.begin();
    while (found != groups.end() && found->config != config) ++found;
    if (found == groups.end()) found = groups.insert(found, {config, {}});
    found->modules.push_back(module);
  }
  return groups;
}

/// Versions of compressed-tensors before 0.11 refuse a group that has a format; later ones take
/// rounded activations for a sign of unpacked weights where it has none.
bool needs_format(const ordered_json& group) {
  return group["format"] == "pack-quantized" && !group["input_activations"].is_null();
}

ordered_json fp8_kv_cache() {
  return {{"num_bits", 8},
          {"type", "float"},
          {"symmetric", true},
          {"strategy", "tensor"},
          {"dynamic", false}};
}

/// "FP8" where all linears have it, "MIXED_PRECISION" otherwise.
std::string modelopt_algorithm(const WrittenModel& model) {
  std::set<std::string> kinds;
  for (const auto& [module, linear] : model.linears) kinds.insert(linear.kind);
  return kinds.size() == 1 ? *kinds.begin() : "MIXED_PRECISION";
}

ordered_json modelopt_layers(const WrittenModel& model) {
  ordered_json layers = ordered_json::object();
  for (const auto& [module, linear] : model.linears) layers[module] = {{"quant_algo", linear.kind}};
  return layers;
}

ordered_json producer() { return {{"name", "veloz"}, {"version", VELOZ_VERSION}}; }

}  // namespace

ordered_json to_json(const WrittenLinear& linear) {
  const LinearScheme& scheme = linear.scheme;
  ordered_json json = {{"weight", to_string(scheme.weight)},
                       {"group", scheme.group},
                       {"has_zeros", scheme.has_zeros},
                       {"scale_dtype", to_string(scheme.scale_dtype)},
                       {"activation_group", scheme.activation_group},
                       {"has_permutation", scheme.has_permutation},
                       {"kind", linear.kind},
                       {"is_per_tensor", linear.is_per_tensor}};
  if (scheme.activation) json["activation"] = to_string(*scheme.activation);
  if (scheme.input_scale) json["input_scale"] = *scheme.input_scale;
  return json;
}

WrittenLinear written_linear_from(const nlohmann::json& json) {
  WrittenLinear linear;
  LinearScheme& scheme = linear.scheme;
  scheme.weight = dtype_from(json.at("weight"));
  json.at("group").get_to(scheme.group);
  json.at("has_zeros").get_to(scheme.has_zeros);
  scheme.scale_dtype = dtype_from(json.at("scale_dtype"));
  json.at("activation_group").get_to(scheme.activation_group);
  json.at("has_permutation").get_to(scheme.has_permutation);
  if (json.contains("activation")) scheme.activation = dtype_from(json["activation"]);
  if (json.contains("input_scale")) scheme.input_scale = json["input_scale"].get<double>();
  json.at("kind").get_to(linear.kind);
  json.at("is_per_tensor").get_to(linear.is_per_tensor);
  return linear;
}

ordered_json compressed_tensors_config(const WrittenModel& model) {
  const std::vector<Group> groups = group_linears(model);
  std::set<std::string> kinds;
  for (const auto& [module, linear] : model.linears) kinds.insert(linear.kind);
  ordered_json config_groups = ordered_json::object();
  for (size_t i = 0; i < groups.size(); ++i) {
    ordered_json group = groups[i].config;
    if (groups.size() == 1)
      group["targets"] = {"Linear"};
    else
      group["targets"] = groups[i].modules;
    if (kinds.size() == 1 && !needs_format(group)) group.erase("format");
    config_groups[fmt::format("group_{}", i)] = std::move(group);
  }
  ordered_json config = {{"quant_method", "compressed-tensors"},
                         {"format", kinds.size() == 1 ? *kinds.begin() : std::string(kMixed)},
                         {"quantization_status", "compressed"},
                         {"config_groups", std::move(config_groups)},
                         {"ignore", model.ignored},
                         {"kv_cache_scheme", nullptr}};
  if (model.has_fp8_kv_cache) config["kv_cache_scheme"] = fp8_kv_cache();
  return config;
}

ordered_json modelopt_config(const WrittenModel& model) {
  const std::string algorithm = modelopt_algorithm(model);
  ordered_json config = {{"quant_method", "modelopt"}, {"quant_algo", algorithm}};
  if (algorithm == "FP8")
    config["config_groups"] = {
        {"group_0",
         {{"input_activations", {{"dynamic", false}, {"num_bits", 8}, {"type", "float"}}},
          {"weights", {{"dynamic", false}, {"num_bits", 8}, {"type", "float"}}},
          {"targets", {"Linear"}}}}};
  if (algorithm == "MIXED_PRECISION") config["quantized_layers"] = modelopt_layers(model);
  config["ignore"] = model.ignored;
  if (model.has_fp8_kv_cache)
    config["kv_cache_scheme"] = {{"dynamic", false}, {"num_bits", 8}, {"type", "float"}};
  config["producer"] = producer();
  return config;
}

ordered_json modelopt_file(const WrittenModel& model) {
  const std::string algorithm = modelopt_algorithm(model);
  ordered_json quantization = {{"quant_algo", algorithm},
                               {"kv_cache_quant_algo", nullptr},
                               {"exclude_modules", model.ignored}};
  if (model.has_fp8_kv_cache) quantization["kv_cache_quant_algo"] = "FP8";
  if (algorithm == "MIXED_PRECISION") quantization["quantized_layers"] = modelopt_layers(model);
  return {{"producer", producer()}, {"quantization", std::move(quantization)}};
}

}  // namespace veloz::checkpoint
