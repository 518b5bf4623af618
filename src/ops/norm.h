// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "ops/op.h"
#include "ops/quantize.h"

namespace veloz::ops {

/// Root-mean-square norm of each row, y[t,i] = x[t,i] * gamma[i] / sqrt(mean_i(x[t,i]^2) + eps)
/// (arXiv:1910.07467), and the same after a residual addition.
///
/// rms_norm(x, gamma) {eps} -> y;   add_rms_norm(x, delta, gamma) {eps} -> sum, y
/// sum = x + delta rounded to its dtype; the norm reads the rounded sum, so fusing changes no bit.
/// x, delta [T, D] fp32 or bf16, rows may be strided; gamma [D] fp32; sum, y [T, D] dtype of x.
/// y may be x; sum may be x or delta. T may be 0. With the attribute `quantize` codes and scales
/// stand in place of y (ops/quantize.h).
struct RmsNormArgs {
  TensorView x;
  TensorView delta;  // data is null in rms_norm
  TensorView gamma;
  TensorView sum;  // data is null in rms_norm
  TensorView y;    // data is null where it is quantized
  std::optional<QuantizeArgs> quantized;
  float eps = 0;

  static RmsNormArgs from(const OpCall& call);
};

/// Layer norm of each row, y[t,i] = (x[t,i] - mean) / sqrt(var + eps) * gamma[i] + beta[i], var
/// over D without Bessel's correction (arXiv:1607.06450), and the same after a residual addition.
///
/// layer_norm(x, gamma, beta) {eps} -> y;   add_layer_norm(x, delta, gamma, beta) {eps} -> sum, y
/// Shapes, dtypes and aliasing as for rms_norm.
struct LayerNormArgs {
  TensorView x;
  TensorView delta;
  TensorView gamma;
  TensorView beta;
  TensorView sum;
  TensorView y;  // data is null where it is quantized
  std::optional<QuantizeArgs> quantized;
  float eps = 0;

  static LayerNormArgs from(const OpCall& call);
};

OpDef rms_norm_def();
OpDef add_rms_norm_def();
OpDef layer_norm_def();
OpDef add_layer_norm_def();

}  // namespace veloz::ops
