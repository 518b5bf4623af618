// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/machine.h"
#include "compress/quantize/histogram.h"
#include "compress/quantize/matrix.h"

namespace veloz::compress {

/// What a recipe wants to know of the inputs of a linear.
struct StatisticsWanted {
  bool hessian = false;    // GPTQ
  bool histogram = false;  // fixed ranges of activations
};

/// Inputs of the linears that share one, observed over all tokens of the calibration data. Memory:
/// sampled rows [<= kMaxSamples, K], and [K, K] where the Hessian is wanted.
class InputStatistics {
 public:
  static constexpr int64_t kMaxSamples = 512;

  /// `num_tokens` rows will be added in all; samples are spread evenly over them.
  InputStatistics(int64_t columns, int64_t num_tokens, const StatisticsWanted& wanted);

  /// x [T, K] fp32, the next T tokens.
  void add(const TensorView& x, const Machine& machine);

  int64_t columns() const { return columns_; }
  int64_t num_tokens() const { return num_added_; }
  /// Per column: the largest magnitude, and the mean magnitude.
  std::span<const float> amax() const { return amax_; }
  std::vector<float> mean_magnitude() const;
  const MagnitudeHistogram& histogram() const { return histogram_; }
  const Matrix& samples() const { return samples_; }
  /// X^T X over all tokens, both halves filled; empty where it was not wanted.
  const Matrix& hessian() const { return hessian_; }
  /// Whether every value was a number.
  bool is_finite() const;

  /// The statistics of x / scales: what the linears see once their input was divided by `scales`,
  /// one a column. The histogram is left as it is.
  void divide_columns(std::span<const float> scales);

 private:
  void add_magnitudes(const TensorView& x, const Machine& machine);
  void add_samples(const TensorView& x);
  void add_hessian(const TensorView& x, const Machine& machine);

  const int64_t columns_;
  const int64_t num_tokens_;
  const StatisticsWanted wanted_;
  int64_t num_added_ = 0;
  std::vector<float> amax_;            // [K]
  std::vector<double> sum_magnitude_;  // [K]
  MagnitudeHistogram histogram_;
  Matrix samples_;  // filled front to back
  int64_t num_samples_ = 0;
  Matrix hessian_;  // [K, K]
};

}  // namespace veloz::compress
