// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "compress/machine.h"
#include "compress/quantize/matrix.h"

namespace veloz::compress {

/// How activations are rounded where the linear is quantized on both sides.
struct ActivationFormat {
  DType dtype = DType::int8;           // int8 or fp8_e4m3
  std::optional<float> fixed_scale{};  // nothing: a scale for each row
};

/// x as a quantized linear reads it: codes times scale (ops/quantize.h).
Matrix round_activations(const Matrix& x, const ActivationFormat& format);

/// Squared sums over all outputs of a linear: of what it should give, and of how far it is off.
struct OutputError {
  double signal = 0;
  double noise = 0;
  /// noise / signal; 0 where nothing is off.
  double relative() const { return noise == 0 ? 0 : noise / signal; }
  OutputError& operator+=(const OutputError& other);
};

/// y = x w^T: the outputs of a linear over sampled inputs.
Matrix multiply(const Matrix& x, const Matrix& w, const Machine& machine);

/// How far `approximate_x` times `approximate_w` is from `expected`, row by row in order.
OutputError output_error(const Matrix& expected, const Matrix& approximate_x,
                         const Matrix& approximate_w, const Machine& machine);

}  // namespace veloz::compress
