// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/kernel.h"
#include "ops/linear.h"
#include "ops/quantized_linear.h"

/// The linears on the GPU. Weights lie plain. An element of y has the same bits whatever the number
/// of rows of x.
namespace veloz::cuda {

/// For whatever the ops accept, one warp per few rows of w.
void simple_linear(ops::OpContext& context, const ops::LinearArgs& args) noexcept;
void simple_quantized_linear(ops::OpContext& context,
                             const ops::QuantizedLinearArgs& args) noexcept;
void simple_weight_only_linear(ops::OpContext& context,
                               const ops::WeightOnlyLinearArgs& args) noexcept;

}  // namespace veloz::cuda
