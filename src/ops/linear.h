// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// y[t,n] = sum_k x[t,k] * w[n,k] (+ bias[n]), products and sum in fp32 or better, bias added to
/// the sum, one rounding to y's dtype.
///
/// x     [T, K] fp32 or bf16; rows may be strided
/// w     [N, K] dtype of x, in the kernel's layout
/// bias  [N] fp32, optional (third input)
/// y     [T, N] dtype of x, or fp32 with attribute out="fp32"
struct LinearArgs {
  TensorView x;
  TensorView w;
  TensorView bias;  // data is null where there is none
  TensorView y;

  static LinearArgs from(const OpCall& call);
};

OpDef linear_def();

}  // namespace veloz::ops
