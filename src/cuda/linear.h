// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/kernel.h"
#include "ops/linear.h"
#include "ops/quantized_linear.h"

/// The linears on the GPU. Weights lie plain. An element of y has the same bits whatever the number
/// of rows of x.
namespace veloz::cuda {

/// On the tensor cores, of bf16, fp8 by fp8 (one group or groups of 128) and int8 by int8, with
/// rows of K of a multiple of 16 bytes. Rows of a view that begin elsewhere go the simple way.
void gemm_linear(ops::OpContext& context, const ops::LinearArgs& args) noexcept;
void gemm_quantized_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args) noexcept;

/// For whatever the ops accept, one warp per few rows of w.
void simple_linear(ops::OpContext& context, const ops::LinearArgs& args) noexcept;
void simple_quantized_linear(ops::OpContext& context,
                             const ops::QuantizedLinearArgs& args) noexcept;
void simple_weight_only_linear(ops::OpContext& context,
                               const ops::WeightOnlyLinearArgs& args) noexcept;

}  // namespace veloz::cuda
