// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/linear.h"

#include "cuda/cublaslt/library_gemms.h"
#include "cuda/stream.h"

namespace veloz::cuda::cublaslt {
namespace {

GemmOperands operands_of(const TensorView& x, const TensorView& w, const TensorView& y) {
  return {.x = x.data,
          .x_stride = x.row_stride,
          .w = w.data,
          .w_stride = w.row_stride,
          .y = y.data,
          .y_stride = y.row_stride};
}

Gemm gemm_of(const TensorView& x, const TensorView& w, const TensorView& y, GemmScaling scaling) {
  return {.tokens = y.shape[0],
          .n = w.shape[0],
          .k = w.shape[1],
          .operands = x.dtype,
          .out = y.dtype,
          .scaling = scaling};
}

/// Without a library on the stream, or where it refuses, the stream's next wait says so.
void run(ops::OpContext& context, const char* kernel, const Gemm& gemm,
         const GemmOperands& operands) {
  auto& stream = static_cast<CudaStream&>(*context.stream);
  LibraryGemms* const library = stream.library();
  if (library == nullptr || !library->run(gemm, operands))
    stream.note(cudaErrorNotSupported, kernel);
}

}  // namespace

void linear(ops::OpContext& context, const ops::LinearArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  run(context, "linear/cublaslt", gemm_of(args.x, args.w, args.y, GemmScaling::none),
      operands_of(args.x, args.w, args.y));
}

void quantized_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  GemmOperands operands = operands_of(args.x, args.w, args.y);
  operands.x_scales = args.x_scales.as<const float>();
  operands.w_scales = args.w_scales.as<const float>();
  run(context, "quantized_linear/cublaslt", gemm_of(args.x, args.w, args.y, GemmScaling::rows),
      operands);
}

}  // namespace veloz::cuda::cublaslt
