// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/tensor_view.h"
#include "cuda/gemm_tile.h"
#include "cuda/stream.h"

namespace veloz::cuda {

/// y = x w^T, scaled: operands of linear and quantized_linear. Scales and bias may have no data.
struct GemmCall {
  TensorView x;         // [T, K] bf16, fp8_e4m3 or int8
  TensorView x_scales;  // [T, G] fp32
  TensorView w;         // [N, K] dtype of x
  TensorView w_scales;  // [N, G] fp32; G is 1, or for fp8 K / 128
  TensorView bias;      // [N] fp32
  TensorView y;         // [T, N] bf16 or fp32
};

/// Enqueue the product with the given tile. False, with nothing enqueued, where the copy engine
/// cannot read an operand: all rows begin at multiples of 16 bytes.
[[nodiscard]] bool launch_bf16_gemm(CudaStream& stream, const GemmTile& tile,
                                    const GemmCall& call) noexcept;
[[nodiscard]] bool launch_fp8_gemm(CudaStream& stream, const GemmTile& tile,
                                   const GemmCall& call) noexcept;
[[nodiscard]] bool launch_grouped_fp8_gemm(CudaStream& stream, const GemmTile& tile,
                                           const GemmCall& call) noexcept;
[[nodiscard]] bool launch_int8_gemm(CudaStream& stream, const GemmTile& tile,
                                    const GemmCall& call) noexcept;

}  // namespace veloz::cuda
