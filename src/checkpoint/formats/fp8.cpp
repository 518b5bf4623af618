// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/numeric.h"
#include "checkpoint/config_fields.h"
#include "checkpoint/formats/format_reader.h"
#include "checkpoint/formats/row_linear.h"
#include "checkpoint/formats/scheme_rules.h"

// `quant_method` "fp8": weights in blocks with one scale each, as DeepSeek-V3 and transformers'
// fine-grained fp8 have them (arXiv:2412.19437, section 3.3: activations in groups of a block's
// columns), or with one scale a tensor, as AutoFP8 wrote them.
namespace veloz::checkpoint {
namespace {

constexpr Range<int64_t> kBlockSizes{1, int64_t{1} << 20};

struct Block {
  int64_t rows = 0;
  int64_t columns = 0;
};

std::optional<Block> parse_block(const ConfigFields& fields) {
  if (!fields.has("weight_block_size")) return std::nullopt;
  const std::vector<int64_t> sizes = fields.get_ints("weight_block_size", kBlockSizes);
  if (sizes.size() != 2)
    refuse_value("weight_block_size", fields.at("weight_block_size"), "two numbers, [128, 128]");
  return Block{sizes[0], sizes[1]};
}

void require_one_of(const ConfigFields& fields, const char* key,
                    std::initializer_list<std::string_view> supported) {
  const std::optional<std::string> value = fields.try_string(key);
  if (value && std::ranges::find(supported, *value) == supported.end())
    refuse_value(key, *value, fmt::format("{}", fmt::join(supported, ", ")));
}

std::unique_ptr<StoredLinear> read_block_linear(const ModuleTensors& tensors, Block block) {
  const Shape shape = tensors.require("weight", {DType::fp8_e4m3}).shape;
  LinearScheme scheme;
  scheme.weight = DType::fp8_e4m3;
  scheme.activation = DType::fp8_e4m3;
  scheme.group = scheme.activation_group = normalized_group(block.columns, shape[1]);
  check_scheme(tensors.module(), scheme, shape[1]);
  tensors.require("weight_scale_inv", {DType::fp32, DType::bf16, DType::fp16},
                  {ceil_div(shape[0], block.rows), ceil_div(shape[1], block.columns)});
  return std::make_unique<RowLinear>(
      tensors.files(), StoredLinear::Facts{tensors.module(), scheme, shape[0], shape[1], {}},
      RowLinear::Layout{.weight = tensors.name("weight"),
                        .scale = tensors.name("weight_scale_inv"),
                        .zero = {},
                        .rows_per_scale = block.rows});
}

std::unique_ptr<StoredLinear> read_tensor_linear(const ModuleTensors& tensors, bool is_static) {
  const Shape shape = tensors.require("weight", {DType::fp8_e4m3}).shape;
  LinearScheme scheme;
  scheme.weight = DType::fp8_e4m3;
  scheme.activation = DType::fp8_e4m3;
  const int64_t rows = rows_per_scale(tensors, "weight_scale", shape[0]);
  if (is_static) scheme.input_scale = tensors.read_scale("input_scale");
  check_scheme(tensors.module(), scheme, shape[1]);
  return std::make_unique<RowLinear>(
      tensors.files(), StoredLinear::Facts{tensors.module(), scheme, shape[0], shape[1], {}},
      RowLinear::Layout{.weight = tensors.name("weight"),
                        .scale = tensors.name("weight_scale"),
                        .zero = {},
                        .rows_per_scale = rows});
}

}  // namespace

FormatContent read_fp8(const FormatInput& input) {
  const ConfigFields fields(input.config);
  require_one_of(fields, "activation_scheme", {"dynamic", "static"});
  require_one_of(fields, "fmt", {"e4m3"});
  require_one_of(fields, "scale_fmt", {"float", "ue8m0"});
  const bool is_static = fields.try_string("activation_scheme") == "static";
  const std::optional<Block> block = parse_block(fields);
  if (block && is_static)
    refuse_value("activation_scheme", "static", "\"dynamic\" where weights have blocks");
  FormatContent content;
  for (const std::string& module : modules_with(input.files, "weight", DType::fp8_e4m3)) {
    const ModuleTensors tensors(input.files, module);
    content.linears[module] =
        block ? read_block_linear(tensors, *block) : read_tensor_linear(tensors, is_static);
  }
  require_modules(content, "fp8", "a weight of F8_E4M3");
  require_one_of(fields, "kv_cache_scheme", {"static"});
  if (fields.has("kv_cache_scheme")) {
    content.kv_cache = DType::fp8_e4m3;
    content.kv_scales = read_kv_scales(input);
  }
  return content;
}

}  // namespace veloz::checkpoint
