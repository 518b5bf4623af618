// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/quantization.h"
#include "compress/quantize/gptq.h"
#include "compress/quantize/input_statistics.h"
#include "compress/quantize/output_error.h"
#include "compress/quantize/scale_search.h"
#include "compress/quantize/weight_grid.h"

namespace veloz::compress {

/// What a user may ask for; names as in --recipe.
enum class Recipe {
  fp8,               // one fixed scale a tensor, for weights and activations
  fp8_rowwise,       // a scale for each output channel and for each token
  int8,              // the same in int8, nothing searched
  int8_smoothquant,  // int8, with scales between inputs and weights searched
  int4,              // weights alone, each to its nearest
  int4_tensor,       // the same with one scale a tensor
  int4_awq,          // weights alone, scales and ranges searched
  int4_gptq,         // weights alone, errors made up for
  automatic,         // "auto": int4-awq or int8 or as it was, group by group
};

std::vector<Recipe> all_recipes();
std::string_view to_string(Recipe recipe);
/// Throws Error(invalid_input) with the names there are.
Recipe parse_recipe(std::string_view text);
/// One line for people.
std::string_view describe(Recipe recipe);

struct RecipeOptions {
  Recipe recipe = Recipe::fp8;
  int64_t group_size = 128;  // of 4-bit weights: columns that share a scale; 0: a whole row
  bool has_zeros = false;    // of 4-bit weights: asymmetric
  bool quantizes_activations = false;            // of 4-bit weights: int8, a scale for each token
  RangeMethod weight_range = RangeMethod::amax;  // amax or mse
  RangeMethod activation_range = RangeMethod::amax;  // of recipe fp8
  double percentile = 99.9;                          // of activation_range percentile
  GptqOptions gptq{};
};

/// How the values of a weight are brought to its grids.
enum class Rounding {
  nearest,
  clip,  // nearest, on ranges that serve the outputs (clip_search.h)
  gptq,
};

/// How one linear is quantized.
struct Treatment {
  std::string name;  // "int4-awq", as in reports
  WeightFormat weight;
  RangeMethod weight_range = RangeMethod::amax;
  Rounding rounding = Rounding::nearest;
  std::optional<DType> activation{};  // nothing: activations stay
  bool has_fixed_activation_scale = false;
  std::optional<ScaleRule> scales{};  // nothing: no scales between input and weights
};

/// The treatments of a recipe, smallest weights first: one, but for `auto`. `scale_dtype` is the
/// checkpoint's dtype: scales of 4-bit groups are stored in it, as others expect.
std::vector<Treatment> treatments_of(const RecipeOptions& options, DType scale_dtype);

/// What the linears' inputs must be observed for.
StatisticsWanted statistics_of(const std::vector<Treatment>& treatments);

checkpoint::LinearScheme scheme_of(const Treatment& treatment, std::optional<float> input_scale);

/// Bytes that codes, scales and zeros of a weight take.
int64_t stored_bytes(const WeightFormat& format, int64_t rows, int64_t columns);

}  // namespace veloz::compress
