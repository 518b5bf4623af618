// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/uint4_tile.h"
#include "ops/kernel.h"
#include "ops/quantized_linear.h"

namespace veloz::cpu {

/// Scratch: the rows of x in the order of the tiles, with the sums of their groups.
size_t uint4_linear_workspace_bytes(const ops::OpCall& call, int num_threads);

/// `quantized_linear` of int8 by uint4x2 in panels (cpu/layouts.h). Each thread takes ranges
/// of panels, which lie behind each other, and reads each of them once per block of rows.
///
///   y[t,n] = x_scale[t] * sum_g w_scale[n,g] * dot_g (+ bias[n])
///
/// with exact integers dot_g, and the groups in order: a row's result does not depend on the other
/// rows or on the threads.
void uint4_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args,
                  const Uint4Micro& micro) noexcept;

/// Kernel::run for a set of micro-kernels.
template <const Uint4Micro& micro>
void run_uint4_linear(ops::OpContext& context, const ops::OpCall& call) noexcept {
  uint4_linear(context, ops::QuantizedLinearArgs::from(call), micro);
}

}  // namespace veloz::cpu
