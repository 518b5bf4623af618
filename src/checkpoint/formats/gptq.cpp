// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "checkpoint/config_fields.h"
#include "checkpoint/formats/column_linear.h"
#include "checkpoint/formats/format_reader.h"
#include "checkpoint/formats/scheme_rules.h"

// GPTQ (arXiv:2210.17323) as AutoGPTQ and GPTQModel store it: for K input and N output channels and
// `per_word` codes in an int32, qweight [K / per_word, N], qzeros [G, N / per_word], scales [G, N],
// g_idx [K] the group of each input channel; w = (code - zero) * scale. The first format stores
// zeros less one; "gptq_v2" as they are.
namespace veloz::checkpoint {
namespace {

constexpr Range<int64_t> kBits{1, 64};
constexpr Range<int64_t> kGroupSizes{-1, int64_t{1} << 23};

struct GptqConfig {
  int64_t bits = 4;
  int64_t group_size = 128;
  bool is_symmetric = true;
  bool is_v2 = false;
  bool has_order = false;  // columns were assigned to groups by importance
};

/// GPTQModel's rules per module: those with "-:" leave modules alone, which their tensors show.
void refuse_overrides(const ConfigFields& fields) {
  if (!fields.has("dynamic")) return;
  const nlohmann::json& rules = fields.at("dynamic");
  if (!rules.is_object()) refuse_value("dynamic", rules, "an object of rules");
  for (const auto& [pattern, rule] : rules.items())
    if (!pattern.starts_with("-:"))
      refuse_value("dynamic", pattern,
                   "the same bits and groups for every module, and rules that leave some out, "
                   "\"-:...\"");
}

GptqConfig parse_config(const ConfigFields& fields) {
  GptqConfig config;
  config.bits = fields.get_int("bits", kBits, 4);
  if (config.bits != 4 && config.bits != 8) refuse_value("bits", config.bits, "4, 8");
  config.group_size = fields.get_int("group_size", kGroupSizes, 128);
  if (config.group_size == 0)
    refuse_value("group_size", config.group_size, "-1 for whole rows, or a size");
  config.is_symmetric = fields.get_bool("sym", true);
  const char* const key = fields.has("checkpoint_format") ? "checkpoint_format" : "format";
  const std::string format = fields.try_string(key).value_or("gptq");
  if (format != "gptq" && format != "gptq_v2") refuse_value(key, format, "gptq, gptq_v2");
  if (fields.get_bool("is_marlin_format", false)) refuse_value("is_marlin_format", true, "false");
  config.is_v2 = format == "gptq_v2";
  config.has_order = fields.get_bool("desc_act", false) && !fields.get_bool("static_groups", false);
  const std::string pack_dtype = fields.try_string("pack_dtype").value_or("int32");
  if (pack_dtype != "int32") refuse_value("pack_dtype", pack_dtype, "int32");
  refuse_overrides(fields);
  return config;
}

std::vector<int32_t> read_permutation(const ModuleTensors& tensors, const GptqConfig& config,
                                      int64_t columns, int64_t group) {
  const bool is_needed = config.has_order && group != 0;
  if (!is_needed && !tensors.find("g_idx")) return {};
  tensors.require("g_idx", {DType::int32}, {columns});
  return permutation_of(tensors.name("g_idx"), tensors.read_int32s("g_idx"),
                        group == 0 ? columns : group);
}

std::unique_ptr<StoredLinear> read_linear(const ModuleTensors& tensors, const GptqConfig& config,
                                          const std::shared_ptr<UnpackedCache>& cache) {
  const int64_t per_word = 32 / config.bits;
  const Shape packed = tensors.require("qweight", {DType::int32}).shape;
  if (packed.rank() != 2)
    tensors.refuse_shape("qweight", packed, fmt::format("[K / {}, N]", per_word));
  const int64_t columns = packed[0] * per_word;
  const int64_t rows = packed[1];
  LinearScheme scheme{.weight = config.bits == 4 ? DType::uint4x2 : DType::int8,
                      .group = normalized_group(config.group_size, columns),
                      .has_zeros = !config.is_symmetric,
                      .activation = {},
                      .input_scale = {}};
  check_scheme(tensors.module(), scheme, columns);
  const int64_t num_groups = scheme.group == 0 ? 1 : columns / scheme.group;
  scheme.scale_dtype =
      tensors.require("scales", {DType::fp16, DType::bf16, DType::fp32}, {num_groups, rows}).dtype;
  // Symmetric codes need none, and some tools leave them out.
  const bool has_qzeros = scheme.has_zeros || tensors.find("qzeros").has_value();
  if (has_qzeros) tensors.require("qzeros", {DType::int32}, {num_groups, rows / per_word});
  if (has_qzeros && rows % per_word != 0)
    tensors.refuse_shape("qweight", packed, fmt::format("of a multiple of {} columns", per_word));
  std::vector<int32_t> permutation = read_permutation(tensors, config, columns, scheme.group);
  scheme.has_permutation = !permutation.empty();
  return std::make_unique<ColumnLinear>(
      tensors.files(), cache,
      StoredLinear::Facts{tensors.module(), scheme, rows, columns, std::move(permutation)},
      ColumnLinear::Layout{.weight = tensors.name("qweight"),
                           .scale = tensors.name("scales"),
                           .zero = has_qzeros ? tensors.name("qzeros") : "",
                           .packing = ColumnLinear::Packing::gptq,
                           .has_zeros_minus_one = !config.is_v2});
}

}  // namespace

FormatContent read_gptq(const FormatInput& input) {
  const GptqConfig config = parse_config(ConfigFields(input.config));
  return read_column_linears(input, "gptq", [&](const ModuleTensors& tensors, const auto& cache) {
    return read_linear(tensors, config, cache);
  });
}

}  // namespace veloz::checkpoint
