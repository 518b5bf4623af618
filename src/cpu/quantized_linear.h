// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cpu/gemm_tile.h"
#include "ops/kernel.h"
#include "ops/quantized_linear.h"

namespace veloz::cpu {

// `quantized_linear` with 8-bit weights in panels (cpu/layouts.h); see cpu/panel_product.h.

/// int8 x int8: `micro` adds products of x with codes + 128 in int32; 128 times the sum of a row's
/// codes is taken off again, and scales and bias follow.
void int8_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args,
                 const GemmMicro& micro) noexcept;
size_t int8_linear_workspace_bytes(const ops::OpCall& call, int num_threads,
                                   const GemmMicro& micro);

/// Kernel::run and Kernel::workspace_bytes for a set of micro-kernels.
template <const GemmMicro& micro>
void run_int8_linear(ops::OpContext& context, const ops::OpCall& call) noexcept {
  int8_linear(context, ops::QuantizedLinearArgs::from(call), micro);
}
template <const GemmMicro& micro>
size_t int8_linear_workspace_bytes(const ops::OpCall& call, int num_threads) {
  return int8_linear_workspace_bytes(call, num_threads, micro);
}

/// fp8 x fp8: codes become bf16 or fp32, which hold them exactly. x is widened once per call; a
/// block of weights once per block of rows or, where rows are few, in the micro-kernel. A block
/// holds whole groups, so these are of kMaxFp8Group columns at most; one group of all columns may
/// be longer.
inline constexpr int64_t kMaxFp8Group = 1024;
void fp8_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args,
                const Fp8Micro& micro) noexcept;
size_t fp8_linear_workspace_bytes(const ops::OpCall& call, int num_threads, const Fp8Micro& micro);

template <const Fp8Micro& micro>
void run_fp8_linear(ops::OpContext& context, const ops::OpCall& call) noexcept {
  fp8_linear(context, ops::QuantizedLinearArgs::from(call), micro);
}
template <const Fp8Micro& micro>
size_t fp8_linear_workspace_bytes(const ops::OpCall& call, int num_threads) {
  return fp8_linear_workspace_bytes(call, num_threads, micro);
}

}  // namespace veloz::cpu
