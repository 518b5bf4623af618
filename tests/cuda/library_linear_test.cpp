// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
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
    ++num_asked_;
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
  TuneReport tune(std::span<const Gemm> gemms) override {
    tuned_.assign(gemms.begin(), gemms.end());
    return {.num_tuned = static_cast<int>(gemms.size()), .notices = {"a notice"}};
  }
  int num_asked() const { return num_asked_; }
  const std::vector<Gemm>& tuned() const { return tuned_; }

 private:
  int num_asked_ = 0;
  std::vector<Gemm> tuned_;
  bool refuses_;
};

ops::Kernel library_kernel(std::string_view name) {
  return kernel_named(name, {.library = LibraryUse::fastest});
}

/// On memory of the host, which the simulated device shares. How often the library was asked.
int run_by_library(std::string_view kernel, const std::vector<TensorView>& inputs,
                   const TensorView& y, const ops::Attrs& attrs, bool refuses = false) {
  const auto stream = test_device().create_stream();
  const auto library = std::make_shared<PretendedLibrary>(refuses);
  static_cast<CudaStream&>(*stream).set_library(library);
  const std::vector<TensorView> outputs = {y};
  ops::OpContext context{.stream = stream.get(), .workspace = {}};
  EXPECT_TRUE(accepts(library_kernel(kernel), inputs, outputs, attrs));
  library_kernel(kernel).run(context, {.inputs = inputs, .outputs = outputs, .attrs = attrs});
  stream->synchronize();
  return library->num_asked();
}

constexpr int64_t kLibraryTokens = 256;  // from which on small weights of codes are the library's

/// fp8 codes [tokens, 64] and [32, 64] with a scale per row.
struct CodedProduct {
  explicit CodedProduct(int64_t tokens)
      : x(test::random_tensor(DType::fp8_e4m3, {tokens, 64}, 1)),
        w(test::random_tensor(DType::fp8_e4m3, {32, 64}, 2)),
        x_scales(test::random_tensor(DType::fp32, {tokens, 1}, 3)),
        w_scales(test::random_tensor(DType::fp32, {32, 1}, 4)),
        y(DType::bf16, {tokens, 32}) {}

  std::vector<TensorView> inputs() const {
    return {x.view(), x_scales.view(), w.view(), w_scales.view()};
  }

  OwnedTensor x, w, x_scales, w_scales, y;
  ops::Attrs attrs{{"out", std::string("bf16")}};
};

/// Of what our own kernel makes of the same operands.
void expect_bits_of(std::string_view kernel, const std::vector<TensorView>& inputs,
                    const OwnedTensor& y, const ops::Attrs& attrs) {
  const OwnedTensor ours(y.view().dtype, y.view().shape);
  run_kernel(kernel_named(kernel), inputs, {ours.view()}, attrs);
  const auto bytes =
      static_cast<size_t>(y.view().shape[0] * y.view().shape[1]) * dtype_bytes(y.view().dtype);
  EXPECT_EQ(std::memcmp(y.view().data, ours.view().data, bytes), 0);
}

TEST(LibraryLinear, IsOfferedFirstButOnlyWhereThereIsALibrary) {
  const ops::Attrs attrs;
  const std::vector<ops::ValueType> inputs = {{DType::bf16, {ops::Symbol::T, 64}},
                                              {DType::bf16, {32, 64}}};
  const std::vector<ops::ValueType> outputs = {{DType::bf16, {ops::Symbol::T, 32}}};
  const ops::KernelQuery query{Op::linear, inputs, outputs, attrs, "plain"};
  for (const LibraryUse use : {LibraryUse::same_bits, LibraryUse::fastest})
    EXPECT_EQ(make_registry({.library = use}).choose(query).name, "linear/cublaslt");
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
      EXPECT_EQ(run_by_library("linear/cublaslt", inputs, y.view(), attrs), tokens == 0 ? 0 : 1);
      EXPECT_WITHIN_TOLERANCE(Op::linear, inputs, want, 0, y.view(), attrs, 1);
      EXPECT_TRUE(y.gaps_untouched());
    }
}

TEST(LibraryLinear, GivesTheLibraryScalesPerRow) {
  for (const int64_t tokens : {kLibraryTokens, kLibraryTokens + 5}) {
    const CodedProduct product(tokens);
    const std::vector<TensorView> inputs = product.inputs();
    EXPECT_EQ(run_by_library("quantized_linear/cublaslt", inputs, product.y.view(), product.attrs),
              1);
    const std::vector<OwnedTensor> want =
        test::run_reference(Op::quantized_linear, inputs, product.attrs);
    EXPECT_WITHIN_TOLERANCE(Op::quantized_linear, inputs, want, 0, product.y.view(), product.attrs,
                            1);
  }
}

TEST(LibraryLinear, LeavesCodesOfFewTokensToOurKernel) {
  for (const int64_t tokens : {int64_t{1}, int64_t{64}, kLibraryTokens - 1}) {
    const CodedProduct product(tokens);
    EXPECT_EQ(run_by_library("quantized_linear/cublaslt", product.inputs(), product.y.view(),
                             product.attrs),
              0);
    expect_bits_of("quantized_linear/wgmma", product.inputs(), product.y, product.attrs);
  }
}

TEST(LibraryLinear, LeavesToOurKernelsWhatTheLibraryRefuses) {
  const CodedProduct product(kLibraryTokens);
  EXPECT_EQ(run_by_library("quantized_linear/cublaslt", product.inputs(), product.y.view(),
                           product.attrs, /*refuses=*/true),
            1);
  expect_bits_of("quantized_linear/wgmma", product.inputs(), product.y, product.attrs);
  const OwnedTensor x = test::random_tensor(DType::bf16, {3, 64}, 1);
  const OwnedTensor w = test::random_tensor(DType::bf16, {24, 64}, 2);
  const OwnedTensor y(DType::bf16, {3, 24});
  const std::vector<TensorView> inputs = {x.view(), w.view()};
  EXPECT_EQ(run_by_library("linear/cublaslt", inputs, y.view(), {}, /*refuses=*/true), 1);
  expect_bits_of("linear/wgmma", inputs, y, {});
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

TEST(LibraryLinear, PreparesByTuningTheProductsThatAreTheLibrarys) {
  const auto stream = test_device().create_stream();
  const auto library = std::make_shared<PretendedLibrary>(/*refuses=*/false);
  static_cast<CudaStream&>(*stream).set_library(library);
  const ops::Attrs attrs{{"out", std::string("bf16")}};
  const std::vector<ops::ValueType> inputs = {{DType::fp8_e4m3, {ops::Symbol::T, 64}},
                                              {DType::fp32, {ops::Symbol::T, 1}},
                                              {DType::fp8_e4m3, {32, 64}},
                                              {DType::fp32, {32, 1}}};
  const std::vector<ops::ValueType> outputs = {{DType::bf16, {ops::Symbol::T, 32}}};
  ops::Binding most{};
  most[static_cast<size_t>(ops::Symbol::T)] = 1000;
  const std::vector<std::string> notices =
      library_kernel("quantized_linear/cublaslt")
          .prepare(*stream, {Op::quantized_linear, inputs, outputs, attrs, "plain"}, most);
  ASSERT_EQ(library->tuned().size(), 5u) << "256 to 1024 tokens: ours are faster below";
  EXPECT_EQ(to_string(library->tuned()[0]), "fp8_e4m3 rows t=256 n=32 k=64 bf16");
  EXPECT_EQ(library->tuned()[4].tokens, 1024);
  EXPECT_EQ(notices,
            (std::vector<std::string>{
                "a notice", "cuBLASLt was tuned for fp8_e4m3 [32, 64] at 5 token count(s)"}));
}

TEST(LibraryLinear, PreparesNothingOnAStreamWithoutALibrary) {
  const auto stream = test_device().create_stream();
  const ops::Attrs attrs;
  const std::vector<ops::ValueType> inputs = {{DType::bf16, {ops::Symbol::T, 64}},
                                              {DType::bf16, {32, 64}}};
  const std::vector<ops::ValueType> outputs = {{DType::bf16, {ops::Symbol::T, 32}}};
  EXPECT_TRUE(library_kernel("linear/cublaslt")
                  .prepare(*stream, {Op::linear, inputs, outputs, attrs, "plain"}, {})
                  .empty());
}

TEST(LibraryLinear, OurKernelsStandBehindItInTheList) {
  const ops::KernelRegistry fast = make_registry({.library = LibraryUse::fastest});
  const ops::KernelRegistry usual = make_registry();
  EXPECT_EQ(fast.kernels().size(), usual.kernels().size() + 2);
  const ops::Attrs attrs;
  const std::vector<ops::ValueType> inputs = {
      {DType::bf16, {ops::Symbol::T, 64}}, {DType::bf16, {32, 64}}, {DType::fp32, {32}}};
  const std::vector<ops::ValueType> outputs = {{DType::bf16, {ops::Symbol::T, 32}}};
  EXPECT_EQ(fast.choose({Op::linear, inputs, outputs, attrs, "plain"}).name, "linear/wgmma");
}

TEST(LibraryLinear, AMissingLibraryIsAnErrorAndNoSilentChange) {
  const std::unique_ptr<Device> device = open_device(0, {.library = LibraryUse::fastest});
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported, {"no cuBLASLt"},
                                 [&] { static_cast<void>(device->create_stream()); }));
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
