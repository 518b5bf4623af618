// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// A linear on quantized activations and quantized weights.
///
/// quantized_linear(x, x_scales, w, w_scales, [w_zeros], [bias]) {weight, zeros, out} -> y
///
/// x         [T, K] codes of `quantize`: int8 or fp8_e4m3; rows may be strided
/// x_scales  [T, Gx] fp32
/// w         [N, K] int8 or fp8_e4m3, or [N, K / 2] uint4x2; in the kernel's layout
/// w_scales  [N, G] in the companion of w's layout: fp32, for uint4x2 also bf16 or fp16; G divides
/// K w_zeros   [N, G] uint8, with attribute zeros=1, of uint4x2 alone; otherwise every zero is 8
/// bias      [N] fp32, optional
/// y         [T, N] bf16 or fp32 as attribute `out` says
///
///   y[t,n] = sum_g x_scales[t,g] * w_scales[n,g] * sum_{k in g} x[t,k] * (w[n,k] - zero[n,g])
///            (+ bias[n])
///
/// with one rounding to y's dtype. Sums of integer codes are exact. Sums of fp8 codes are at least
/// those of Hopper's tensor cores, which keep 12 bits below the largest number of up to 128
/// products; those over groups are fp32 or better. The order depends on nothing but K. The pairs
/// there are:
///   int8 x int8       G = Gx = 1, K <= 65536 (the sum stays in 32 bits)
///   fp8  x fp8        G = Gx = 1, or Gx = G > 1 with groups of a multiple of 32
///   int8 x uint4x2    Gx = 1, groups of a multiple of 32, K even
struct QuantizedLinearArgs {
  TensorView x;
  TensorView x_scales;
  TensorView w;
  TensorView w_scales;
  TensorView w_zeros;  // data is null where there are none
  TensorView bias;     // data is null where there is none
  TensorView y;

  static QuantizedLinearArgs from(const OpCall& call);
  int64_t k_extent() const { return x.shape[1]; }
  int64_t num_groups() const { return w_scales.shape[1]; }
  int64_t group() const { return k_extent() / num_groups(); }
};

/// A linear on activations as they are and quantized weights.
///
/// weight_only_linear(x, w, w_scales, [w_zeros], [bias]) {zeros, out} -> y
///
/// x         [T, K] fp32 or bf16; rows may be strided
/// w         [N, K] int8 or fp8_e4m3, or [N, K / 2] uint4x2; in the kernel's layout
/// w_scales  [N, G] fp32, bf16 or fp16, in the companion of w's layout; G divides K
/// w_zeros   [N, G] with attribute zeros=1: uint8 of uint4x2 (otherwise every zero is 8), int8 of
///           int8 (otherwise 0)
/// y         [T, N] dtype of x, or fp32 with attribute out="fp32"
///
/// The weight is (w - zero) * scale, in fp32, rounded to x's dtype; with it, y is as of `linear`.
struct WeightOnlyLinearArgs {
  TensorView x;
  TensorView w;
  TensorView w_scales;
  TensorView w_zeros;
  TensorView bias;
  TensorView y;

  static WeightOnlyLinearArgs from(const OpCall& call);
  int64_t num_groups() const { return w_scales.shape[1]; }
  int64_t group() const { return x.shape[1] / num_groups(); }
};

OpDef quantized_linear_def();
OpDef weight_only_linear_def();

/// The code w[n, k] of a weight in layout "plain" as a number.
float weight_code(const TensorView& w, int64_t n, int64_t k);
/// One scale, fp32, bf16 or fp16.
float scale_element(const TensorView& scales, int64_t row, int64_t group);
/// The weight's zero: of its group, or what its dtype has where there are no zeros.
float zero_element(const TensorView& w, const TensorView& w_zeros, int64_t n, int64_t group);

}  // namespace veloz::ops
