// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/gemm_tile.h"
#include "ops/kernel.h"
#include "ops/linear.h"

namespace veloz::cpu {

/// How a `linear` is cut: rows of x in blocks, K in blocks, so that the panels at work stay in the
/// second-level cache while the rows of a block pass over them.
struct LinearBlocking {
  int64_t rows;   // per block
  int64_t steps;  // of 64 bytes of a panel, per block
};

/// A pure function of the shape; changes no result.
LinearBlocking choose_linear_blocking(int64_t num_rows, int64_t num_steps);

/// Scratch of all threads: the sums of one block of rows and one group of panels each.
size_t linear_workspace_bytes(const ops::OpCall& call, int num_threads);

/// y = x w^T + bias with the weight in panels (cpu/layouts.h). Each thread owns a range of panels
/// and reads each of them once per block of rows; a row's result does not depend on the other rows
/// or on the threads.
void linear(ops::OpContext& context, const ops::LinearArgs& args, const GemmMicro& micro) noexcept;

/// Kernel::run for a set of micro-kernels.
template <const GemmMicro& micro>
void run_linear(ops::OpContext& context, const ops::OpCall& call) noexcept {
  linear(context, ops::LinearArgs::from(call), micro);
}

}  // namespace veloz::cpu
