// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/scheme_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <string_view>

#include "base/error.h"

namespace veloz::checkpoint {
namespace {

constexpr int64_t kGroupGranularity = 32;    // of groups under quantized activations
constexpr int64_t kMaxInt8Columns = 65'536;  // beyond, a sum of products may leave 32 bits

std::string_view short_name(DType dtype) {
  switch (dtype) {
    case DType::uint4x2:
      return "int4";
    case DType::fp8_e4m3:
      return "fp8";
    default:
      return to_string(dtype);
  }
}

std::string describe(const LinearScheme& scheme) {
  const auto grouped = [](int64_t group) {
    return group == 0 ? std::string() : fmt::format(" in groups of {}", group);
  };
  std::string text = fmt::format("{} weights{}{}", short_name(scheme.weight), grouped(scheme.group),
                                 scheme.has_zeros ? " with zeros" : "");
  if (scheme.activation)
    text += fmt::format(" with {} activations{}", short_name(*scheme.activation),
                        grouped(scheme.activation_group));
  return text;
}

/// Nothing where an op has this pair of weights and activations; otherwise what is supported.
std::string_view missing_support(const LinearScheme& scheme, int64_t columns) {
  if (!scheme.activation)
    return scheme.weight == DType::fp8_e4m3 && scheme.has_zeros ? "fp8 weights without zeros" : "";
  const bool is_per_row = scheme.activation_group == 0;
  if (scheme.input_scale && !is_per_row) return "one fixed scale for all activations";
  switch (scheme.weight) {
    case DType::int8:
      if (scheme.activation == DType::int8 && scheme.group == 0 && is_per_row &&
          !scheme.has_zeros && columns <= kMaxInt8Columns)
        return "";
      return "int8 activations per token, int8 weights per channel without zeros, at most 65536 "
             "columns";
    case DType::fp8_e4m3:
      if (scheme.activation == DType::fp8_e4m3 && scheme.group == scheme.activation_group &&
          scheme.group % kGroupGranularity == 0 && !scheme.has_zeros)
        return "";
      return "fp8 activations with fp8 weights, per token and per channel, or both in the same "
             "groups of a multiple of 32";
    default:
      if (scheme.activation == DType::int8 && is_per_row && scheme.group % kGroupGranularity == 0)
        return "";
      return "int8 activations per token with 4-bit weights in groups of a multiple of 32";
  }
}

}  // namespace

void check_scheme(const std::string& module, const LinearScheme& scheme, int64_t columns) {
  for (const int64_t group : {scheme.group, scheme.activation_group})
    if (group != 0 && columns % group != 0)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("groups of {} do not divide the {} columns of \"{}\"", group, columns,
                              module),
                  "the group size of the quantization config and the weight disagree");
  if (scheme.weight == DType::uint4x2 && columns % 2 != 0)
    throw Error(
        ErrorKind::unsupported,
        fmt::format("\"{}\" has {} columns of 4 bits, only even numbers are read", module, columns),
        "leave this module out of the quantization");
  const std::string_view supported = missing_support(scheme, columns);
  if (!supported.empty())
    throw Error(ErrorKind::unsupported,
                fmt::format("\"{}\" has {}, which is not supported", module, describe(scheme)),
                fmt::format("supported: {}", supported));
}

int64_t normalized_group(int64_t group_size, int64_t columns) {
  return group_size == -1 || group_size == columns ? 0 : group_size;
}

std::vector<int32_t> permutation_of(const std::string& tensor, const std::vector<int32_t>& group_of,
                                    int64_t group) {
  const auto num_columns = static_cast<int64_t>(group_of.size());
  const int64_t num_groups = num_columns / group;
  std::vector<int64_t> members(static_cast<size_t>(num_groups), 0);
  for (int64_t k = 0; k < num_columns; ++k) {
    const int32_t g = group_of[static_cast<size_t>(k)];
    if (g < 0 || g >= num_groups)
      throw Error(
          ErrorKind::invalid_input,
          fmt::format("tensor \"{}\" puts column {} into group {} of {}", tensor, k, g, num_groups),
          "the checkpoint is damaged, or its group size is another");
    ++members[static_cast<size_t>(g)];
  }
  const auto uneven = std::ranges::find_if(members, [&](int64_t count) { return count != group; });
  if (uneven != members.end())
    throw Error(ErrorKind::invalid_input,
                fmt::format("tensor \"{}\" puts {} columns into group {}, groups have {}", tensor,
                            *uneven, uneven - members.begin(), group),
                "the checkpoint is damaged, or its group size is another");
  if (std::ranges::is_sorted(group_of)) return {};
  std::vector<int32_t> permutation(group_of.size());
  std::iota(permutation.begin(), permutation.end(), 0);
  std::ranges::stable_sort(permutation, {},
                           [&](int32_t k) { return group_of[static_cast<size_t>(k)]; });
  return permutation;
}

std::string plan_name(const QuantPlan& plan, const std::string& method) {
  std::set<std::string_view> weights;
  for (const auto& [module, scheme] : plan.linears) weights.insert(short_name(scheme.weight));
  if (weights.empty()) weights.insert("kv cache");
  return fmt::format("{} ({})", fmt::join(weights, " + "), method);
}

}  // namespace veloz::checkpoint
