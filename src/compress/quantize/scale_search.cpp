// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/scale_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace veloz::compress {
namespace {

constexpr float kMinScale = 1e-4f;
constexpr float kMaxScale = 1e4f;

/// Largest magnitude of each column over all weights.
std::vector<float> column_amax(const ScaleProblem& problem) {
  std::vector<float> amax(static_cast<size_t>(problem.weights.front()->columns));
  for (const Matrix* w : problem.weights)
    for (int64_t n = 0; n < w->rows; ++n)
      for (int64_t k = 0; k < w->columns; ++k) {
        float& largest = amax[static_cast<size_t>(k)];
        largest = std::max(largest, std::abs(w->row(n)[k]));
      }
  return amax;
}

/// Mean over all rows of each column's magnitude as a share of the largest of its group.
std::vector<float> column_mean_share(const ScaleProblem& problem) {
  const int64_t columns = problem.weights.front()->columns;
  const int64_t group = problem.weight_format.group == 0 ? columns : problem.weight_format.group;
  std::vector<double> sums(static_cast<size_t>(columns));
  int64_t rows = 0;
  for (const Matrix* w : problem.weights) {
    rows += w->rows;
    for (int64_t n = 0; n < w->rows; ++n)
      for (int64_t begin = 0; begin < columns; begin += group) {
        const float* const part = w->row(n) + begin;
        float amax = 0;
        for (int64_t k = 0; k < group; ++k) amax = std::max(amax, std::abs(part[k]));
        if (amax == 0) continue;
        for (int64_t k = 0; k < group; ++k)
          sums[static_cast<size_t>(begin + k)] += static_cast<double>(std::abs(part[k]) / amax);
      }
  }
  std::vector<float> mean(sums.size());
  for (size_t k = 0; k < mean.size(); ++k)
    mean[k] = static_cast<float>(sums[k] / static_cast<double>(rows));
  return mean;
}

/// Gives columns that share a channel the largest of their values.
void share_channels(std::vector<float>& values, std::span<const int32_t> channel_of_column) {
  if (channel_of_column.empty()) return;
  std::vector<float> of_channel(static_cast<size_t>(std::ranges::max(channel_of_column)) + 1);
  for (size_t k = 0; k < values.size(); ++k) {
    float& largest = of_channel[static_cast<size_t>(channel_of_column[k])];
    largest = std::max(largest, values[k]);
  }
  for (size_t k = 0; k < values.size(); ++k)
    values[k] = of_channel[static_cast<size_t>(channel_of_column[k])];
}

/// Sizes of inputs and weights, column by column.
struct Sizes {
  std::vector<float> inputs;
  std::vector<float> weights;
};

Sizes column_sizes(const ScaleProblem& problem, ScaleRule rule) {
  Sizes sizes;
  switch (rule) {
    case ScaleRule::smooth_quant:
      sizes.inputs.assign(problem.input->amax().begin(), problem.input->amax().end());
      sizes.weights = column_amax(problem);
      break;
    case ScaleRule::awq:
      sizes.inputs = problem.input->mean_magnitude();
      sizes.weights = column_mean_share(problem);
      break;
  }
  share_channels(sizes.inputs, problem.channel_of_column);
  share_channels(sizes.weights, problem.channel_of_column);
  return sizes;
}

std::vector<float> scales_of(const Sizes& sizes, double alpha) {
  std::vector<float> scales(sizes.inputs.size(), 1.0f);
  float smallest = kMaxScale;
  float largest = kMinScale;
  const auto has_scale = [&](size_t k) { return sizes.inputs[k] > 0 && sizes.weights[k] > 0; };
  for (size_t k = 0; k < scales.size(); ++k) {
    if (!has_scale(k)) continue;
    scales[k] = static_cast<float>(std::pow(static_cast<double>(sizes.inputs[k]), alpha) /
                                   std::pow(static_cast<double>(sizes.weights[k]), 1 - alpha));
    smallest = std::min(smallest, scales[k]);
    largest = std::max(largest, scales[k]);
  }
  // A factor common to all scales changes nothing; this one keeps them around 1.
  const float middle = std::sqrt(smallest) * std::sqrt(largest);
  for (size_t k = 0; k < scales.size(); ++k)
    if (has_scale(k)) scales[k] = std::clamp(scales[k] / middle, kMinScale, kMaxScale);
  return scales;
}

Matrix scale_columns(const Matrix& m, std::span<const float> scales, bool divide,
                     ThreadPool& pool) {
  Matrix scaled(m.rows, m.columns);
  pool.for_range(m.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t k = 0; k < m.columns; ++k) {
        const float scale = scales[static_cast<size_t>(k)];
        scaled.row(i)[k] = divide ? m.row(i)[k] / scale : m.row(i)[k] * scale;
      }
  });
  return scaled;
}

OutputError error_with(const ScaleProblem& problem, const std::vector<Matrix>& expected,
                       std::span<const float> scales, const Machine& machine) {
  Matrix x = scale_columns(problem.input->samples(), scales, /*divide=*/true, machine.pool);
  if (problem.activation) x = round_activations(x, *problem.activation);
  OutputError error;
  for (size_t i = 0; i < problem.weights.size(); ++i) {
    const Matrix w = scale_columns(*problem.weights[i], scales, /*divide=*/false, machine.pool);
    const WeightGrids grids =
        choose_grids(w, problem.weight_format, problem.weight_range, machine.pool);
    error += output_error(expected[i], x,
                          round_to_grids(w, grids, problem.weight_format, machine.pool), machine);
  }
  return error;
}

}  // namespace

std::vector<float> scales_for(const ScaleProblem& problem, ScaleRule rule, double alpha) {
  return scales_of(column_sizes(problem, rule), alpha);
}

ScaleChoice search_scales(const ScaleProblem& problem, ScaleRule rule, const Machine& machine) {
  VELOZ_CHECK(!problem.weights.empty() && problem.input != nullptr, "nothing to scale");
  std::vector<Matrix> expected;
  for (const Matrix* w : problem.weights)
    expected.push_back(multiply(problem.input->samples(), *w, machine));

  ScaleChoice best;
  best.scales.assign(static_cast<size_t>(problem.weights.front()->columns), 1.0f);
  best.error = best.error_without = error_with(problem, expected, best.scales, machine);
  const Sizes sizes = column_sizes(problem, rule);
  for (int i = 0; i <= kAlphaParts; ++i) {
    const double alpha = static_cast<double>(i) / kAlphaParts;
    std::vector<float> scales = scales_of(sizes, alpha);
    const OutputError error = error_with(problem, expected, scales, machine);
    if (!(error.noise < best.error.noise)) continue;
    best.scales = std::move(scales);
    best.alpha = alpha;
    best.error = error;
  }
  return best;
}

}  // namespace veloz::compress
