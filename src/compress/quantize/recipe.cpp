// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "compress/quantize/clip_search.h"

namespace veloz::compress {
namespace {

struct RecipeEntry {
  Recipe recipe;
  std::string_view name;
  std::string_view description;
};

constexpr std::array<RecipeEntry, 9> kRecipes = {{
    {Recipe::fp8, "fp8", "8-bit floats, one fixed scale a tensor; made for GPUs' FP8 units"},
    {Recipe::fp8_rowwise, "fp8-rowwise", "8-bit floats, a scale for each channel and each token"},
    {Recipe::int8, "int8", "8-bit integers, a scale for each channel and each token"},
    {Recipe::int8_smoothquant, "int8-smoothquant",
     "int8, outliers of activations moved into the weights (SmoothQuant)"},
    {Recipe::int4, "int4", "4-bit weights, each to its nearest: a baseline to compare with"},
    {Recipe::int4_tensor, "int4-tensor",
     "the same with one scale a tensor: careless, and the gate shows it"},
    {Recipe::int4_awq, "int4-awq", "4-bit weights, important channels kept finer (AWQ)"},
    {Recipe::int4_gptq, "int4-gptq", "4-bit weights, each error made up for by others (GPTQ)"},
    {Recipe::automatic, "auto", "the smallest mix of 4-bit, 8-bit and original that passes"},
}};

const RecipeEntry& entry_of(Recipe recipe) {
  return *std::ranges::find(kRecipes, recipe, &RecipeEntry::recipe);
}

WeightFormat row_format(DType dtype) {
  return {.dtype = dtype,
          .group = 0,
          .is_per_tensor = false,
          .has_zeros = false,
          .scale_dtype = DType::fp32};
}

Treatment fp8(const RecipeOptions& options) {
  Treatment treatment{.name = "fp8", .weight = row_format(DType::fp8_e4m3)};
  treatment.weight.is_per_tensor = true;
  treatment.weight_range = options.weight_range;
  treatment.activation = DType::fp8_e4m3;
  treatment.has_fixed_activation_scale = true;
  return treatment;
}

Treatment rowwise(const RecipeOptions& options, DType dtype, std::string name) {
  Treatment treatment{.name = std::move(name), .weight = row_format(dtype)};
  treatment.weight_range = options.weight_range;
  treatment.activation = dtype;
  return treatment;
}

Treatment int4(const RecipeOptions& options, DType scale_dtype, std::string name) {
  Treatment treatment{.name = std::move(name),
                      .weight = {.dtype = DType::uint4x2,
                                 .group = options.group_size,
                                 .is_per_tensor = false,
                                 .has_zeros = options.has_zeros,
                                 .scale_dtype = scale_dtype}};
  treatment.weight_range = options.weight_range;
  if (options.quantizes_activations) treatment.activation = DType::int8;
  return treatment;
}

Treatment int4_awq(const RecipeOptions& options, DType scale_dtype) {
  Treatment treatment = int4(options, scale_dtype, "int4-awq");
  treatment.scales = ScaleRule::awq;
  const bool may_clip = options.group_size > 0 && options.group_size <= kMaxClipGroup;
  treatment.rounding = may_clip ? Rounding::clip : Rounding::nearest;
  return treatment;
}

void check(const RecipeOptions& options) {
  const int64_t group = options.group_size;
  if (group != 0 && (group < 32 || group % 32 != 0))
    throw Error(ErrorKind::invalid_input,
                fmt::format("--group-size {} is no multiple of 32", group),
                "32, 64 and 128 are usual; smaller is more exact and larger; 0 is a whole row");
  if (options.weight_range == RangeMethod::percentile)
    throw Error(ErrorKind::invalid_input, "--weight-range percentile is not for weights",
                "use amax or mse");
  if (!(options.percentile > 50 && options.percentile <= 100))
    throw Error(ErrorKind::invalid_input,
                fmt::format("--percentile {} is not above 50 and at most 100", options.percentile),
                "99.9 keeps all but one of a thousand magnitudes");
  if (!(options.gptq.damping > 0 && options.gptq.damping <= 1))
    throw Error(ErrorKind::invalid_input,
                fmt::format("--gptq-damping {} is not above 0 and at most 1", options.gptq.damping),
                "0.01 is usual");
}

}  // namespace

std::vector<Recipe> all_recipes() {
  std::vector<Recipe> recipes;
  recipes.reserve(kRecipes.size());
  for (const RecipeEntry& entry : kRecipes) recipes.push_back(entry.recipe);
  return recipes;
}

std::string_view to_string(Recipe recipe) { return entry_of(recipe).name; }
std::string_view describe(Recipe recipe) { return entry_of(recipe).description; }

Recipe parse_recipe(std::string_view text) {
  const auto found = std::ranges::find(kRecipes, text, &RecipeEntry::name);
  if (found != kRecipes.end()) return found->recipe;
  std::vector<std::string_view> names;
  names.reserve(kRecipes.size());
  for (const RecipeEntry& entry : kRecipes) names.push_back(entry.name);
  throw Error(ErrorKind::invalid_input, fmt::format("there is no recipe \"{}\"", text),
              fmt::format("the recipes are {}", fmt::join(names, ", ")));
}

std::vector<Treatment> treatments_of(const RecipeOptions& options, DType scale_dtype) {
  check(options);
  switch (options.recipe) {
    case Recipe::fp8:
      return {fp8(options)};
    case Recipe::fp8_rowwise:
      return {rowwise(options, DType::fp8_e4m3, "fp8-rowwise")};
    case Recipe::int8:
      return {rowwise(options, DType::int8, "int8")};
    case Recipe::int8_smoothquant: {
      Treatment treatment = rowwise(options, DType::int8, "int8-smoothquant");
      treatment.scales = ScaleRule::smooth_quant;
      return {treatment};
    }
    case Recipe::int4:
      return {int4(options, scale_dtype, "int4")};
    case Recipe::int4_tensor: {
      Treatment treatment = int4(options, scale_dtype, "int4-tensor");
      treatment.weight.group = 0;
      treatment.weight.is_per_tensor = true;
      return {treatment};
    }
    case Recipe::int4_awq:
      return {int4_awq(options, scale_dtype)};
    case Recipe::int4_gptq: {
      Treatment treatment = int4(options, scale_dtype, "int4-gptq");
      treatment.rounding = Rounding::gptq;
      return {treatment};
    }
    case Recipe::automatic:
      return {int4_awq(options, scale_dtype), rowwise(options, DType::int8, "int8")};
  }
  return {};
}

StatisticsWanted statistics_of(const std::vector<Treatment>& treatments) {
  StatisticsWanted wanted;
  for (const Treatment& treatment : treatments) {
    wanted.hessian |= treatment.rounding == Rounding::gptq;
    wanted.histogram |= treatment.has_fixed_activation_scale;
  }
  return wanted;
}

checkpoint::LinearScheme scheme_of(const Treatment& treatment, std::optional<float> input_scale) {
  checkpoint::LinearScheme scheme;
  scheme.weight = treatment.weight.dtype;
  scheme.group = treatment.weight.group;
  scheme.has_zeros = treatment.weight.has_zeros;
  scheme.scale_dtype = treatment.weight.scale_dtype;
  scheme.activation = treatment.activation;
  if (input_scale) scheme.input_scale = static_cast<double>(*input_scale);
  return scheme;
}

int64_t stored_bytes(const WeightFormat& format, int64_t rows, int64_t columns) {
  const int64_t elements = rows * columns;
  const int64_t scales = format.is_per_tensor ? 1 : rows * format.num_groups(columns);
  return (format.dtype == DType::uint4x2 ? elements / 2 : elements) +
         scales * static_cast<int64_t>(dtype_bytes(format.scale_dtype)) +
         (format.has_zeros ? scales : 0);
}

}  // namespace veloz::compress
