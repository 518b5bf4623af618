// SPDX-License-Identifier: Apache-2.0
#include "ops/linear.h"

#include <gtest/gtest.h>

#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::OwnedTensor;
using test::random_tensor;
using test::run_reference;
using test::tensor_of;

TEST(Linear, MultipliesByHand) {
  const OwnedTensor x = tensor_of<float>({2, 3}, {1, 2, 3, -1, 0, 0.5});
  const OwnedTensor w = tensor_of<float>({2, 3}, {1, 0, -1, 2, 2, 2});
  const OwnedTensor bias = tensor_of<float>({2}, {10, -10});
  const auto y = run_reference(Op::linear, {x.view(), w.view(), bias.view()});
  EXPECT_EQ(test::values_of(y[0].view()), (std::vector<double>{8, 2, 8.5, -11}));
}

TEST(Linear, RoundsOnceToBf16AndKeepsFp32WhereAsked) {
  const OwnedTensor x = tensor_of<BFloat16>({1, 2}, {BFloat16(1.0f), BFloat16(0x1p-9f)});
  const OwnedTensor w = tensor_of<BFloat16>({1, 2}, {BFloat16(1.0f), BFloat16(1.0f)});
  const std::vector<TensorView> inputs = {x.view(), w.view()};
  const auto rounded = run_reference(Op::linear, inputs);
  EXPECT_EQ(rounded[0].view().dtype, DType::bf16);
  EXPECT_EQ(test::element(rounded[0].view(), 0), 1.0);
  const auto exact = run_reference(Op::linear, inputs, {{"out", std::string("fp32")}});
  EXPECT_EQ(exact[0].view().dtype, DType::fp32);
  EXPECT_EQ(test::element(exact[0].view(), 0), 1.0 + 0x1p-9);
}

TEST(Linear, AgreesWithFp32ChainsWithinItsTolerance) {
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    for (const Shape& x_shape : {Shape{3, 1}, Shape{2, 127}, Shape{1, 2048}}) {
      const uint64_t seed = 11 + static_cast<uint64_t>(x_shape[1]);
      const int64_t n_extent = 5;
      const OwnedTensor x = random_tensor(dtype, x_shape, seed, {.row_stride = x_shape[1] + 3});
      const OwnedTensor w = random_tensor(dtype, {n_extent, x_shape[1]}, seed + 1);
      const OwnedTensor bias = random_tensor(DType::fp32, {n_extent}, seed + 2);
      const std::vector<TensorView> inputs = {x.view(), w.view(), bias.view()};
      const auto reference = run_reference(Op::linear, inputs);
      OwnedTensor chains(dtype, {x_shape[0], n_extent});
      for (int64_t t = 0; t < x_shape[0]; ++t) {
        for (int64_t n = 0; n < n_extent; ++n) {
          float sum = 0;  // backwards, in fp32
          for (int64_t k = x_shape[1] - 1; k >= 0; --k)
            sum += static_cast<float>(test::element(x.view(), t * x_shape[1] + k) *
                                      test::element(w.view(), n * x_shape[1] + k));
          sum += bias.view().as<const float>()[n];
          test::set_element(chains.view(), t * n_extent + n, sum);
        }
      }
      EXPECT_WITHIN_TOLERANCE(Op::linear, inputs, reference, 0, chains.view(), {}, seed);
    }
  }
}

TEST(Linear, ToleranceCatchesAMissingProduct) {
  const uint64_t seed = 3;
  const OwnedTensor x = random_tensor(DType::fp32, {1, 5632}, seed);
  const OwnedTensor w = random_tensor(DType::fp32, {1, 5632}, seed + 1);
  const std::vector<TensorView> inputs = {x.view(), w.view()};
  const auto reference = run_reference(Op::linear, inputs);
  OwnedTensor wrong = test::copy_of(reference[0].view());
  const double product = test::element(x.view(), 7) * test::element(w.view(), 7);
  ASSERT_GT(std::abs(product), 0.05);
  test::set_element(wrong.view(), 0, test::element(wrong.view(), 0) - product);
  EXPECT_FALSE(test::within_tolerance(Op::linear, inputs, reference, 0, wrong.view(), {}, seed));
}

}  // namespace
}  // namespace veloz::ops
