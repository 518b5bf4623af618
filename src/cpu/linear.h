// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/gemm_tile.h"
#include "ops/kernel.h"
#include "ops/linear.h"

namespace veloz::cpu {

/// y = x w^T + bias with the weight in panels (cpu/layouts.h); see cpu/panel_product.h.
void linear(ops::OpContext& context, const ops::LinearArgs& args, const GemmMicro& micro) noexcept;
size_t linear_workspace_bytes(const ops::OpCall& call, int num_threads, const GemmMicro& micro);

/// Kernel::run and Kernel::workspace_bytes for a set of micro-kernels.
template <const GemmMicro& micro>
void run_linear(ops::OpContext& context, const ops::OpCall& call) noexcept {
  linear(context, ops::LinearArgs::from(call), micro);
}
template <const GemmMicro& micro>
size_t linear_workspace_bytes(const ops::OpCall& call, int num_threads) {
  return linear_workspace_bytes(call, num_threads, micro);
}

}  // namespace veloz::cpu
