// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "cuda_runs.h"

/// Products by the real cuBLASLt where only our kernels' bits will do. Needs a GPU.
namespace veloz::cuda {
namespace {

using test::OwnedTensor;

DeviceOptions with_same_bits() {
  const char* const directory = std::getenv("VELOZ_CUBLASLT");
  return {.library = LibraryUse::same_bits,
          .cublaslt_directory = directory == nullptr ? "" : directory};
}

class LibraryBits : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::optional<Error> error = library_error(with_same_bits());
    ASSERT_FALSE(error) << error->message();
    device_ = open_device(0, with_same_bits());
    stream_ = device_->create_stream();
  }

  /// By the library where it may, after tuning for the shape, and by our kernel.
  void expect_same(const char* library, const char* ours, const std::vector<TensorView>& inputs,
                   const TensorView& like, const ops::Attrs& attrs) {
    const OwnedTensor y(like.dtype, like.shape), want(like.dtype, like.shape);
    const ops::Kernel kernel = kernel_named(library, {.library = LibraryUse::same_bits});
    std::vector<ops::ValueType> types;
    for (const TensorView& input : inputs) types.push_back(test::type_of(input));
    const std::vector<ops::ValueType> output = {test::type_of(like)};
    static_cast<void>(kernel.prepare(*stream_, {kernel.op, types, output, attrs, "plain"}, {}));
    run_kernel_on(*stream_, kernel, inputs, {y.view()}, attrs);
    run_kernel(kernel_named(ours), inputs, {want.view()}, attrs);
    const auto bytes = static_cast<size_t>(like.shape[0] * like.shape[1]) * dtype_bytes(like.dtype);
    EXPECT_EQ(std::memcmp(y.view().data, want.view().data, bytes), 0)
        << like.shape[0] << " tokens of " << to_string(inputs[0].dtype);
  }

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(LibraryBits, OfCodesAreOurs) {
  const OwnedTensor w = test::random_tensor(DType::fp8_e4m3, {2048, 1040}, 1);
  const OwnedTensor w_scales = test::random_tensor(DType::fp32, {2048, 1}, 2);
  for (const int64_t tokens : {130, 256, 300, 777, 1000}) {
    const OwnedTensor x = test::random_tensor(DType::fp8_e4m3, {tokens, 1040}, 3);
    const OwnedTensor x_scales = test::random_tensor(DType::fp32, {tokens, 1}, 4);
    const OwnedTensor like(DType::bf16, {tokens, 2048});
    expect_same("quantized_linear/cublaslt", "quantized_linear/wgmma",
                {x.view(), x_scales.view(), w.view(), w_scales.view()}, like.view(),
                {{"out", std::string("bf16")}});
  }
}

TEST_F(LibraryBits, OfBf16AreOurs) {
  const OwnedTensor w = test::random_tensor(DType::bf16, {1040, 776}, 1);
  for (const int64_t tokens : {1, 7, 64, 130, 777, 1000}) {
    const OwnedTensor x = test::random_tensor(DType::bf16, {tokens, 776}, 3);
    for (const DType out : {DType::bf16, DType::fp32}) {
      const OwnedTensor like(out, {tokens, 1040});
      expect_same("linear/cublaslt", "linear/wgmma", {x.view(), w.view()}, like.view(),
                  out == DType::fp32 ? ops::Attrs{{"out", std::string("fp32")}} : ops::Attrs{});
    }
  }
}

}  // namespace
}  // namespace veloz::cuda
