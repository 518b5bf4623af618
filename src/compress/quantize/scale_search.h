// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "compress/machine.h"
#include "compress/quantize/input_statistics.h"
#include "compress/quantize/matrix.h"
#include "compress/quantize/output_error.h"
#include "compress/quantize/weight_grid.h"

namespace veloz::compress {

/// What scales between an input and its linears are made from: s = x^alpha / w^(1 - alpha) for each
/// column, x and w being how large the column's inputs and weights are.
enum class ScaleRule {
  smooth_quant,  // x, w: largest magnitudes (arXiv:2211.10438)
  awq,           // mean magnitudes, of weights relative to their group's largest (arXiv:2306.00978)
};

/// Linears that share an input, and how all of it will be rounded.
struct ScaleProblem {
  std::vector<const Matrix*> weights{};  // [N, K] each
  const InputStatistics* input = nullptr;
  WeightFormat weight_format{};
  RangeMethod weight_range = RangeMethod::amax;
  std::optional<ActivationFormat> activation{};  // nothing: activations stay
  /// Columns with an equal entry must share a scale, as they come from one channel of whatever
  /// makes the input; empty: each has its own.
  std::span<const int32_t> channel_of_column{};
};

struct ScaleChoice {
  std::vector<float> scales;    // [K]: inputs are divided by them, columns of weights multiplied
  std::optional<double> alpha;  // nothing: all scales are 1, no others were better
  OutputError error;            // of the linears together over the sampled inputs
  OutputError error_without;    // with scales of 1
};

/// Parts of alpha that are tried: 0, 1/20 ... 1.
inline constexpr int kAlphaParts = 20;

/// The scales of one alpha, between 1e-4 and 1e4; 1 where a column has no inputs or no weights.
std::vector<float> scales_for(const ScaleProblem& problem, ScaleRule rule, double alpha);

/// Tries every alpha, and none, and keeps what brings the outputs nearest to the original's.
ScaleChoice search_scales(const ScaleProblem& problem, ScaleRule rule, const Machine& machine);

}  // namespace veloz::compress
