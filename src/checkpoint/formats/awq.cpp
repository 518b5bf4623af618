// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "checkpoint/config_fields.h"
#include "checkpoint/formats/column_linear.h"
#include "checkpoint/formats/format_reader.h"
#include "checkpoint/formats/scheme_rules.h"

// AWQ (arXiv:2306.00978) as AutoAWQ's GEMM version stores it: for K input and N output channels
// qweight [K, N / 8], qzeros [G, N / 8], scales [G, N]; w = (code - zero) * scale.
namespace veloz::checkpoint {
namespace {

constexpr Range<int64_t> kBits{1, 64};
constexpr Range<int64_t> kGroupSizes{-1, int64_t{1} << 23};
constexpr int64_t kPerWord = 8;

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// Throws for what is not 4 bits with zeros in the GEMM version; the group size otherwise.
int64_t check_config(const ConfigFields& fields) {
  const int64_t bits = fields.get_int("bits", kBits, fields.get_int("w_bit", kBits, 4));
  if (bits != 4) refuse_value("bits", bits, "4");
  if (!fields.get_bool("zero_point", true)) refuse_value("zero_point", false, "true");
  const std::string version = fields.try_string("version").value_or("gemm");
  if (lower_case(version) != "gemm") refuse_value("version", version, "\"gemm\"");
  const int64_t group =
      fields.get_int("group_size", kGroupSizes, fields.get_int("q_group_size", kGroupSizes, 128));
  if (group == 0) refuse_value("group_size", group, "-1 for whole rows, or a size");
  return group;
}

std::unique_ptr<StoredLinear> read_linear(const ModuleTensors& tensors, int64_t group_size,
                                          const std::shared_ptr<UnpackedCache>& cache) {
  const Shape packed = tensors.require("qweight", {DType::int32}).shape;
  if (packed.rank() != 2) tensors.refuse_shape("qweight", packed, "[K, N / 8]");
  const int64_t columns = packed[0];
  const int64_t rows = packed[1] * kPerWord;
  LinearScheme scheme{.weight = DType::uint4x2,
                      .group = normalized_group(group_size, columns),
                      .has_zeros = true,
                      .activation = {},
                      .input_scale = {}};
  check_scheme(tensors.module(), scheme, columns);
  const int64_t num_groups = scheme.group == 0 ? 1 : columns / scheme.group;
  scheme.scale_dtype =
      tensors.require("scales", {DType::fp16, DType::bf16, DType::fp32}, {num_groups, rows}).dtype;
  tensors.require("qzeros", {DType::int32}, {num_groups, packed[1]});
  return std::make_unique<ColumnLinear>(
      tensors.files(), cache, StoredLinear::Facts{tensors.module(), scheme, rows, columns, {}},
      ColumnLinear::Layout{.weight = tensors.name("qweight"),
                           .scale = tensors.name("scales"),
                           .zero = tensors.name("qzeros"),
                           .packing = ColumnLinear::Packing::awq});
}

}  // namespace

FormatContent read_awq(const FormatInput& input) {
  const int64_t group_size = check_config(ConfigFields(input.config));
  return read_column_linears(input, "awq", [&](const ModuleTensors& tensors, const auto& cache) {
    return read_linear(tensors, group_size, cache);
  });
}

}  // namespace veloz::checkpoint
