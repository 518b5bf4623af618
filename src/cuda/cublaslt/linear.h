// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "ops/kernel.h"
#include "ops/linear.h"
#include "ops/quantized_linear.h"

/// Linears by the library of the stream (CudaStream::library, attach_cublaslt) where it is faster,
/// and by our own kernels where it is not, or refuses.
namespace veloz::cuda::cublaslt {

/// What `gemm_of` takes.
bool accepts(const ops::KernelQuery& query);
/// Tunes the stream's library for the products of more tokens than our kernels are for: the
/// sentences say which, and what stood in the way.
std::vector<std::string> prepare(Stream& stream, const ops::KernelQuery& query,
                                 const ops::Binding& most);
void linear(ops::OpContext& context, const ops::LinearArgs& args) noexcept;
void quantized_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args) noexcept;

}  // namespace veloz::cuda::cublaslt
