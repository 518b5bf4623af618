// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/linear.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "cuda/cublaslt/library_gemms.h"
#include "cuda/linear.h"
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

/// Whether the stream's library was worth asking, and took the product. Where there is none to ask,
/// the stream's next wait says so.
bool run(ops::OpContext& context, const char* kernel, const Gemm& gemm,
         const GemmOperands& operands) {
  if (!is_library_faster(gemm)) return false;
  auto& stream = static_cast<CudaStream&>(*context.stream);
  if (stream.library() != nullptr) return stream.library()->run(gemm, operands);
  stream.note(cudaErrorNotSupported, kernel);
  return true;
}

}  // namespace

std::vector<std::string> prepare(Stream& stream, const ops::KernelQuery& query,
                                 const ops::Binding& most) {
  LibraryGemms* const library = static_cast<CudaStream&>(stream).library();
  const std::optional<Gemm> product = cuda::gemm_of(query);
  if (library == nullptr || !product) return {};
  std::vector<Gemm> gemms = in_all_buckets(*product, query.inputs[0].bind(most)[0]);
  std::erase_if(gemms, [](const Gemm& gemm) { return !is_library_faster(gemm); });
  TuneReport report = library->tune(gemms);
  if (report.num_tuned > 0)
    report.notices.push_back(
        fmt::format("cuBLASLt was tuned for {} [{}, {}] at {} token count(s){}",
                    to_string(product->operands), product->n, product->k, report.num_tuned,
                    report.num_ours == 0
                        ? ""
                        : fmt::format(", {} of them are left to our own kernel", report.num_ours)));
  return std::move(report.notices);
}

void linear(ops::OpContext& context, const ops::LinearArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  // Rows that are not aligned as the library wants them are rare, and then few.
  if (!run(context, "linear/cublaslt", gemm_of(args.x, args.w, args.y, GemmScaling::none),
           operands_of(args.x, args.w, args.y)))
    gemm_linear(context, args);
}

void quantized_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  GemmOperands operands = operands_of(args.x, args.w, args.y);
  operands.x_scales = args.x_scales.as<const float>();
  operands.w_scales = args.w_scales.as<const float>();
  const bool is_dense = args.x_scales.row_stride == 1 && args.w_scales.row_stride == 1;
  if (!is_dense || !run(context, "quantized_linear/cublaslt",
                        gemm_of(args.x, args.w, args.y, GemmScaling::rows), operands))
    gemm_quantized_linear(context, args);
}

}  // namespace veloz::cuda::cublaslt
