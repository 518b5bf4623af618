// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <vector>

#include "base/fp8.h"
#include "cuda/cublaslt/library_gemms.h"
#include "cuda/stream.h"
#include "cuda_runs.h"
#include "support/expect_error.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

float element(const void* data, DType dtype, int64_t i) {
  if (dtype == DType::bf16) return static_cast<float>(static_cast<const BFloat16*>(data)[i]);
  return static_cast<float>(static_cast<const Fp8E4M3*>(data)[i]);
}

/// Computes what it is asked for by plain loops: the simulated device's memory is the host's.
class PretendedLibrary final : public LibraryGemms {
 public:
  explicit PretendedLibrary(bool refuses) : refuses_(refuses) {}

  bool run(const Gemm& gemm, const GemmOperands& o) noexcept override {
    if (refuses_) return false;
    for (int64_t t = 0; t < gemm.tokens; ++t)
      for (int64_t n = 0; n < gemm.n; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < gemm.k; ++k)
          sum += static_cast<double>(element(o.x, gemm.operands, t * o.x_stride + k)) *
                 element(o.w, gemm.operands, n * o.w_stride + k);
        if (gemm.scaling == GemmScaling::rows)
          sum *= static_cast<double>(o.x_scales[t]) * o.w_scales[n];
        const int64_t at = t * o.y_stride + n;
        if (gemm.out == DType::bf16)
          static_cast<BFloat16*>(o.y)[at] = BFloat16(static_cast<float>(sum));
        else
          static_cast<float*>(o.y)[at] = static_cast<float>(sum);
      }
    return true;
  }
  TuneReport tune(std::span<const Gemm>) override { return {}; }

 private:
  bool refuses_;
};

ops::Kernel library_kernel(std::string_view name) {
  const ops::KernelRegistry registry = make_registry({.allow_nondeterminism = true});
  for (const ops::Kernel& kernel : registry.kernels())
    if (kernel.name == name) return kernel;
  throw Error(ErrorKind::not_found, std::string(name));
}

/// On memory of the host, which the simulated device shares.
void run_by_library(std::string_view kernel, const std::vector<TensorView>& inputs,
                    const TensorView& y, const ops::Attrs& attrs, bool refuses = false) {
  const auto stream = test_device().create_stream();
  static_cast<CudaStream&>(*stream).set_library(std::make_shared<PretendedLibrary>(refuses));
  const std::vector<TensorView> outputs = {y};
  ops::OpContext context{.stream = stream.get(), .workspace = {}};
  ASSERT_TRUE(accepts(library_kernel(kernel), inputs, outputs, attrs));
  library_kernel(kernel).run(context, {.inputs = inputs, .outputs = outputs, .attrs = attrs});
  stream->synchronize();
}

TEST(LibraryLinear, IsOfferedFirstButOnlyWhereARowMayDependOnItsBatch) {
  const ops::Attrs attrs;
  const std::vector<ops::ValueType> inputs = {{DType::bf16, {ops::Symbol::T, 64}},
                                              {DType::bf16, {32, 64}}};
  const std::vector<ops::ValueType> outputs = {{DType::bf16, {ops::Symbol::T, 32}}};
  const ops::KernelQuery query{Op::linear, inputs, outputs, attrs, "plain"};
  const ops::KernelRegistry fast = make_registry({.allow_nondeterminism = true});
  EXPECT_EQ(fast.choose(query).name, "linear/cublaslt");
  const ops::KernelRegistry usual = make_registry();
  for (const ops::Kernel& kernel : usual.kernels())
    EXPECT_EQ(kernel.name.find("cublaslt"), std::string_view::npos) << kernel.name;
}

TEST(LibraryLinear, GivesTheLibraryStridedRows) {
  for (const DType out : {DType::bf16, DType::fp32})
    for (const int64_t tokens : {0, 1, 5}) {
      const OwnedTensor x = test::random_tensor(DType::bf16, {tokens, 64}, 1, {.row_stride = 80});
      const OwnedTensor w = test::random_tensor(DType::bf16, {24, 64}, 2);
      std::vector<OwnedTensor> want;
      want.emplace_back(out, Shape{tokens, 24});
      const OwnedTensor y(out, {tokens, 24}, 32);
      const ops::Attrs attrs =
          out == DType::fp32 ? ops::Attrs{{"out", std::string("fp32")}} : ops::Attrs{};
      const std::vector<TensorView> inputs = {x.view(), w.view()};
      test::run_reference_into(Op::linear, inputs, test::views_of(want), attrs);
      run_by_library("linear/cublaslt", inputs, y.view(), attrs);
      EXPECT_WITHIN_TOLERANCE(Op::linear, inputs, want, 0, y.view(), attrs, 1);
      EXPECT_TRUE(y.gaps_untouched());
    }
}

TEST(LibraryLinear, GivesTheLibraryScalesPerRow) {
  const OwnedTensor x = test::random_tensor(DType::fp8_e4m3, {3, 64}, 1);
  const OwnedTensor w = test::random_tensor(DType::fp8_e4m3, {32, 64}, 2);
  const OwnedTensor x_scales = test::random_tensor(DType::fp32, {3, 1}, 3);
  const OwnedTensor w_scales = test::random_tensor(DType::fp32, {32, 1}, 4);
  const OwnedTensor y(DType::bf16, {3, 32});
  const ops::Attrs attrs{{"out", std::string("bf16")}};
  const std::vector<TensorView> inputs = {x.view(), x_scales.view(), w.view(), w_scales.view()};
  run_by_library("quantized_linear/cublaslt", inputs, y.view(), attrs);
  const std::vector<OwnedTensor> want = test::run_reference(Op::quantized_linear, inputs, attrs);
  EXPECT_WITHIN_TOLERANCE(Op::quantized_linear, inputs, want, 0, y.view(), attrs, 1);
}

TEST(LibraryLinear, IsComputedAllTheSameWhereTheLibraryRefuses) {
  const OwnedTensor x = test::random_tensor(DType::bf16, {2, 16}, 1);
  const OwnedTensor w = test::random_tensor(DType::bf16, {8, 16}, 2);
  const OwnedTensor y(DType::bf16, {2, 8});
  const std::vector<TensorView> inputs = {x.view(), w.view()};
  run_by_library("linear/cublaslt", inputs, y.view(), {}, /*refuses=*/true);
  const std::vector<OwnedTensor> want = test::run_reference(Op::linear, inputs);
  EXPECT_WITHIN_TOLERANCE(Op::linear, inputs, want, 0, y.view(), {}, 1);
}

TEST(LibraryLinear, FailsOnAStreamWithoutALibrary) {
  const OwnedTensor x = test::random_tensor(DType::bf16, {2, 16}, 1);
  const OwnedTensor w = test::random_tensor(DType::bf16, {8, 16}, 2);
  const OwnedTensor y(DType::bf16, {2, 8});
  EXPECT_TRUE(test::throws_error(ErrorKind::internal, {"linear/cublaslt"}, [&] {
    run_kernel(library_kernel("linear/cublaslt"), {x.view(), w.view()}, {y.view()});
  }));
}

}  // namespace
}  // namespace veloz::cuda
