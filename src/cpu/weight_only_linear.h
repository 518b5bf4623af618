// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/dequantize_tile.h"
#include "cpu/gemm_tile.h"
#include "ops/kernel.h"
#include "ops/quantized_linear.h"

namespace veloz::cpu {

/// `weight_only_linear` with codes in panels (cpu/layouts.h): block by block they become panels of
/// x's dtype in scratch, which the micro-kernels of `linear` multiply. So it has the bits of
/// `linear` with the dequantized weight. See cpu/panel_product.h.
void weight_only_linear(ops::OpContext& context, const ops::WeightOnlyLinearArgs& args,
                        const GemmMicro& micro, const DequantizeMicro& dequantize) noexcept;
size_t weight_only_linear_workspace_bytes(const ops::OpCall& call, int num_threads,
                                          const GemmMicro& micro);

/// Kernel::run and Kernel::workspace_bytes for a set of micro-kernels.
template <const GemmMicro& micro, const DequantizeMicro& dequantize>
void run_weight_only_linear(ops::OpContext& context, const ops::OpCall& call) noexcept {
  weight_only_linear(context, ops::WeightOnlyLinearArgs::from(call), micro, dequantize);
}
template <const GemmMicro& micro>
size_t weight_only_linear_workspace_bytes(const ops::OpCall& call, int num_threads) {
  return weight_only_linear_workspace_bytes(call, num_threads, micro);
}

}  // namespace veloz::cpu
