// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/compressed_tensors_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "checkpoint/config_fields.h"
#include "checkpoint/formats/format_reader.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

constexpr Range<int64_t> kBits{1, 64};
constexpr Range<int64_t> kGroupSizes{-1, int64_t{1} << 23};
constexpr Range<int64_t> kBlockSizes{1, int64_t{1} << 20};
constexpr std::string_view kLinearClass = "Linear";

using Strategy = QuantArgs::Strategy;
constexpr std::array<std::pair<std::string_view, Strategy>, 5> kStrategies = {{
    {"tensor", Strategy::tensor},
    {"channel", Strategy::channel},
    {"group", Strategy::group},
    {"block", Strategy::block},
    {"token", Strategy::token},
}};
constexpr const char* kFormats =
    "float-quantized, int-quantized, naive-quantized, pack-quantized, mixed-precision of these";

void check_format(const ConfigFields& fields) {
  const std::optional<std::string> format = fields.try_string("format");
  if (!format) return;
  for (const std::string_view known :
       {"float-quantized", "int-quantized", "naive-quantized", "pack-quantized", "mixed-precision"})
    if (*format == known) return;
  refuse_value("format", *format, kFormats);
}

/// Nothing, null, or an object that says that nothing is done.
void refuse_if_used(const ConfigFields& fields, const char* key) {
  if (!fields.has(key)) return;
  const nlohmann::json& value = fields.at(key);
  if (value.is_object() && (value.empty() || value.value("format", "") == "dense" ||
                            (value.contains("config_groups") && value["config_groups"].empty())))
    return;
  refuse_value(key, value, "null");
}

Strategy parse_strategy(const ConfigFields& fields, int64_t group_size) {
  const std::optional<std::string> name = fields.try_string("strategy");
  if (!name)
    return group_size > 0     ? Strategy::group
           : group_size == -1 ? Strategy::channel
                              : Strategy::tensor;
  for (const auto& [known, strategy] : kStrategies)
    if (known == *name) return strategy;
  refuse_value("strategy", *name, "tensor, channel, group, block, token");
}

/// [rows, columns], or "128x128" as it was once.
void parse_block(const ConfigFields& fields, QuantArgs& args) {
  if (!fields.has("block_structure"))
    refuse_value("block_structure", nullptr, "two numbers, [128, 128]");
  const nlohmann::json& value = fields.at("block_structure");
  std::vector<int64_t> sizes;
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    const size_t cross = text.find('x');
    const auto number = [&](const std::string& digits) {
      const bool is_number = !digits.empty() && digits.size() <= 6 &&
                             digits.find_first_not_of("0123456789") == std::string::npos;
      if (!is_number) refuse_value("block_structure", value, "two numbers, [128, 128]");
      return std::stoll(digits);
    };
    sizes.push_back(number(text.substr(0, cross)));
    sizes.push_back(number(cross == std::string::npos ? "" : text.substr(cross + 1)));
  } else {
    sizes = fields.get_ints("block_structure", kBlockSizes);
  }
  if (sizes.size() != 2 || sizes[0] < 1 || sizes[1] < 1)
    refuse_value("block_structure", value, "two numbers, [128, 128]");
  args.block_rows = sizes[0];
  args.block_columns = sizes[1];
}

/// "actorder": "group" (or true, "dynamic") assigns columns to groups by importance, "weight" (or
/// "static") only rounded them in that order.
bool parse_order(const ConfigFields& fields) {
  if (!fields.has("actorder")) return false;
  if (fields.at("actorder").is_boolean()) return fields.get_bool("actorder", false);
  const std::optional<std::string> order = fields.try_string("actorder");
  if (order == "group" || order == "dynamic") return true;
  if (order == "weight" || order == "static") return false;
  refuse_value("actorder", fields.at("actorder"), "group, weight, null");
}

QuantArgs parse_args(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) refuse_value(key, object, "an object");
  const ConfigFields fields(object);
  QuantArgs args;
  args.bits = fields.get_int("num_bits", kBits, 8);
  const std::string type = fields.try_string("type").value_or("int");
  if (type != "int" && type != "float") refuse_value("type", type, "int, float");
  args.is_float = type == "float";
  args.is_symmetric = fields.get_bool("symmetric", true);
  if (fields.has("dynamic") && !fields.at("dynamic").is_boolean())
    refuse_value("dynamic", fields.at("dynamic"), "true, false");
  args.is_dynamic = fields.get_bool("dynamic", false);
  const int64_t group_size = fields.get_int("group_size", kGroupSizes, 0);
  args.strategy = parse_strategy(fields, group_size);
  if (args.strategy == Strategy::group) {
    if (group_size < 1) refuse_value("group_size", group_size, "a size where strategy is group");
    args.group_size = group_size;
  }
  if (args.strategy == Strategy::block) parse_block(fields, args);
  args.has_order = parse_order(fields);
  return args;
}

void check_weights(const QuantArgs& args) {
  if (args.is_float && args.bits != 8) refuse_value("num_bits", args.bits, "8 where type is float");
  if (!args.is_float && args.bits != 4 && args.bits != 8)
    refuse_value("num_bits", args.bits, "4, 8 where type is int");
  if (args.strategy == Strategy::token)
    refuse_value("strategy", "token", "tensor, channel, group, block for weights");
  if (args.strategy == Strategy::block && !args.is_float)
    refuse_value("strategy", "block", "tensor, channel, group for weights of type int");
  if (args.is_float && !args.is_symmetric)
    refuse_value("symmetric", false, "true where type is float");
  if (args.is_dynamic) refuse_value("dynamic", true, "false for weights");
}

void check_activations(const QuantArgs& args) {
  if (args.bits != 8) refuse_value("num_bits", args.bits, "8 for activations");
  if (!args.is_symmetric) refuse_value("symmetric", false, "true for activations");
  if (args.strategy == Strategy::channel || args.strategy == Strategy::block)
    refuse_value("strategy", args.strategy == Strategy::block ? "block" : "channel",
                 "tensor, token, group for activations");
  if (args.strategy != Strategy::tensor && !args.is_dynamic)
    refuse_value("dynamic", false, "true for activations per token or group");
}

QuantGroup parse_group(const nlohmann::json& object) {
  if (!object.is_object()) refuse_value("config_groups", object, "objects");
  const ConfigFields fields(object);
  check_format(fields);
  refuse_if_used(fields, "output_activations");
  QuantGroup group;
  for (const std::string& target : get_strings(object, "targets")) {
    if (target == kLinearClass)
      group.targets_all_linears = true;
    else
      group.targets.push_back(NamePattern::name_or_regex(target));
  }
  if (!fields.has("weights")) refuse_value("weights", nullptr, "an object");
  group.weights = parse_args(fields.at("weights"), "weights");
  check_weights(group.weights);
  if (fields.has("input_activations")) {
    group.input_activations = parse_args(fields.at("input_activations"), "input_activations");
    check_activations(*group.input_activations);
  }
  return group;
}

bool parse_kv_cache(const ConfigFields& fields) {
  if (!fields.has("kv_cache_scheme")) return false;
  const nlohmann::json& value = fields.at("kv_cache_scheme");
  const QuantArgs args = parse_args(value, "kv_cache_scheme");
  if (!args.is_float || args.bits != 8 || !args.is_symmetric || args.is_dynamic ||
      args.strategy != Strategy::tensor)
    refuse_value("kv_cache_scheme", value,
                 "8 bits, type float, symmetric, strategy tensor, not "
                 "dynamic");
  return true;
}

}  // namespace

const QuantGroup* CompressedTensorsConfig::find(std::string_view module) const {
  if (find_match(ignored, module) != nullptr) return nullptr;
  for (const QuantGroup& group : groups)
    if (find_match(group.targets, module) != nullptr) return &group;
  for (const QuantGroup& group : groups)
    if (group.targets_all_linears) return &group;
  return nullptr;
}

CompressedTensorsConfig parse_compressed_tensors_config(const nlohmann::json& config) {
  const ConfigFields fields(config);
  check_format(fields);
  refuse_if_used(fields, "sparsity_config");
  refuse_if_used(fields, "transform_config");
  CompressedTensorsConfig parsed;
  parsed.has_fp8_kv_cache = parse_kv_cache(fields);
  for (const std::string& pattern : get_strings(config, "ignore"))
    parsed.ignored.push_back(NamePattern::name_or_regex(pattern));
  if (!fields.has("config_groups")) return parsed;
  const nlohmann::json& groups = fields.at("config_groups");
  if (!groups.is_object()) refuse_value("config_groups", groups, "an object of groups");
  for (const auto& [name, group] : groups.items()) {
    try {
      parsed.groups.push_back(parse_group(group));
    } catch (Error& e) {
      e.add_context(fmt::format("config_groups {}", shown(name)));
      throw;
    }
  }
  return parsed;
}

}  // namespace veloz::checkpoint
