// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "ops/kernel.h"
#include "ops/linear.h"
#include "ops/quantized_linear.h"

/// Linears by the library of the stream (CudaStream::library, attach_cublaslt) where it is faster,
/// and by our own kernels where it is not, or refuses.
namespace veloz::cuda::cublaslt {

/// Products of fp8 codes with fewer tokens are ours: measured on an H200, our kernels take 0.5 to
/// 0.9 of the library's time up to 64 tokens, and 1.15 to 1.45 times it from here on. Products of
/// bf16 are the library's at any number of tokens: ours take 1.05 to 1.2 times as long.
constexpr int64_t kLeastLibraryTokens = 128;

/// What `gemm_of` takes.
bool accepts(const ops::KernelQuery& query);
void linear(ops::OpContext& context, const ops::LinearArgs& args) noexcept;
void quantized_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args) noexcept;

}  // namespace veloz::cuda::cublaslt
