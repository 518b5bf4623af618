// SPDX-License-Identifier: Apache-2.0
#include "ops/quantized_linear.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/op_runs.h"

/// The definition of both ops against sums worked out by hand.
namespace veloz::ops {
namespace {

using test::OwnedTensor;
using test::run_reference;
using test::tensor_of;
using test::values_of;

Attrs to_fp32(bool has_zeros = false) {
  Attrs attrs{{"out", std::string("fp32")}};
  if (has_zeros) attrs.set("zeros", int64_t{1});
  return attrs;
}

/// [rows, values.size()] of any dtype, each value `repeats` times side by side; rows alike.
OwnedTensor repeated(DType dtype, int64_t rows, int64_t repeats,
                     const std::vector<double>& values) {
  const auto columns = static_cast<int64_t>(values.size()) * repeats;
  OwnedTensor tensor(dtype, {rows, columns});
  for (int64_t i = 0; i < rows * columns; ++i)
    test::set_element(tensor.view(), i, values[static_cast<size_t>(i % columns / repeats)]);
  return tensor;
}

/// Two 4-bit codes in a byte, the first in the low half.
double pair(int first, int second) { return first + 16 * second; }

TEST(QuantizedLinear, OfInt8ScalesTheSumOfProductsByRowAndChannel) {
  const OwnedTensor x = tensor_of<int8_t>({2, 3}, {1, -2, 3, 127, -128, 0});
  const OwnedTensor x_scales = tensor_of<float>({2, 1}, {0.5f, 2});
  const OwnedTensor w = tensor_of<int8_t>({2, 3}, {4, 5, -6, -128, 127, 1});
  const OwnedTensor w_scales = tensor_of<float>({2, 1}, {0.25f, -1});
  const OwnedTensor bias = tensor_of<float>({2}, {10, 0.5f});
  const auto y =
      run_reference(Op::quantized_linear,
                    {x.view(), x_scales.view(), w.view(), w_scales.view(), bias.view()}, to_fp32());
  // 4 - 10 - 18, -128 - 254 + 3; 508 - 640, -16256 - 16256
  EXPECT_EQ(values_of(y[0].view()), (std::vector<double>{10 - 24 * 0.125, 0.5 + 379 * 0.5,
                                                         10 - 132 * 0.5, 0.5 + 32512 * 2}));
}

TEST(QuantizedLinear, OfFp8ScalesEachGroupOfBothSides) {
  const OwnedTensor x = repeated(DType::fp8_e4m3, 1, 32, {1, -0.5});
  const OwnedTensor x_scales = tensor_of<float>({1, 2}, {0.5f, 4});
  const OwnedTensor w = repeated(DType::fp8_e4m3, 2, 32, {448, 3});
  const OwnedTensor w_scales = tensor_of<float>({2, 2}, {0.25f, 2, 1, 0.125f});
  const auto y = run_reference(Op::quantized_linear,
                               {x.view(), x_scales.view(), w.view(), w_scales.view()}, to_fp32());
  // Sums of groups: 32 * 448 and 32 * -1.5.
  EXPECT_EQ(values_of(y[0].view()),
            (std::vector<double>{14336 * 0.125 - 48 * 8.0, 14336 * 0.5 - 48 * 0.5}));
}

TEST(QuantizedLinear, OfFourBitsTakesZerosOffGroupByGroup) {
  const OwnedTensor x = repeated(DType::int8, 1, 32, {2, -3});
  const OwnedTensor x_scales = tensor_of<float>({1, 1}, {0.5f});
  const OwnedTensor w = repeated(DType::uint4x2, 2, 16, {pair(0, 15), pair(9, 7)});
  const OwnedTensor w_scales = tensor_of<float>({2, 2}, {1, 0.5f, -2, 4});
  // Without zeros each is 8. Sums of codes: 16 * (0 + 15) - 32 * 8 and 16 * (9 + 7) - 32 * 8.
  const auto symmetric = run_reference(
      Op::quantized_linear, {x.view(), x_scales.view(), w.view(), w_scales.view()}, to_fp32());
  EXPECT_EQ(values_of(symmetric[0].view()), (std::vector<double>{0.5 * 2 * -16, 0.5 * -4 * -16}));
  const OwnedTensor zeros = tensor_of<uint8_t>({2, 2}, {0, 15, 1, 8});
  const auto asymmetric = run_reference(
      Op::quantized_linear, {x.view(), x_scales.view(), w.view(), w_scales.view(), zeros.view()},
      to_fp32(true));
  // 240 - 0, 256 - 480; 240 - 32, 256 - 256
  EXPECT_EQ(values_of(asymmetric[0].view()),
            (std::vector<double>{0.5 * (2 * 240 + 0.5 * -3 * -224), 0.5 * (-2 * 2 * 208)}));
}

TEST(WeightOnlyLinear, DequantizesWithZerosAndRoundsToTheActivations) {
  const OwnedTensor x = tensor_of<float>({1, 4}, {1, 2, -1, 0.5f});
  const OwnedTensor w = OwnedTensor(DType::uint4x2, {1, 2});
  test::set_element(w.view(), 0, pair(3, 12));
  test::set_element(w.view(), 1, pair(8, 0));
  const OwnedTensor scales = tensor_of<float>({1, 2}, {0.5f, -2});
  const OwnedTensor zeros = tensor_of<uint8_t>({1, 2}, {1, 4});
  const Attrs attrs{{"zeros", int64_t{1}}};
  const auto y = run_reference(Op::weight_only_linear,
                               {x.view(), w.view(), scales.view(), zeros.view()}, attrs);
  // Weights 1, 5.5, -8, 8.
  EXPECT_EQ(values_of(y[0].view()), (std::vector<double>{1 + 11 + 8 + 4}));
  const auto symmetric =
      run_reference(Op::weight_only_linear, {x.view(), w.view(), scales.view()}, {});
  // Weights -2.5, 2, 0, 16.
  EXPECT_EQ(values_of(symmetric[0].view()), (std::vector<double>{-2.5 + 4 + 8}));
}

TEST(WeightOnlyLinear, RoundsWeightsToBf16BesideSuchActivations) {
  const OwnedTensor x = repeated(DType::bf16, 1, 1, {1});
  const OwnedTensor w = tensor_of<int8_t>({1, 1}, {127});
  const OwnedTensor scales = tensor_of<float>({1, 1}, {0.01f});
  const OwnedTensor bias = tensor_of<float>({1}, {0.25f});
  const auto y = run_reference(Op::weight_only_linear,
                               {x.view(), w.view(), scales.view(), bias.view()}, to_fp32());
  // 1.27 lies between 1.265625 and 1.2734375, which is nearer.
  EXPECT_EQ(values_of(y[0].view()), (std::vector<double>{1.2734375 + 0.25}));
}

TEST(WeightOnlyLinear, TakesZerosOfInt8AndNoneOfFp8) {
  const OwnedTensor x = tensor_of<float>({1, 2}, {3, -1});
  const OwnedTensor codes = tensor_of<int8_t>({1, 2}, {-128, 127});
  const OwnedTensor scales = tensor_of<float>({1, 2}, {1, 0.5f});
  const OwnedTensor zeros = tensor_of<int8_t>({1, 2}, {-3, 7});
  const Attrs attrs{{"zeros", int64_t{1}}};
  const auto of_int8 = run_reference(Op::weight_only_linear,
                                     {x.view(), codes.view(), scales.view(), zeros.view()}, attrs);
  EXPECT_EQ(values_of(of_int8[0].view()), (std::vector<double>{3 * -125 - 60}));
  const OwnedTensor fp8 = repeated(DType::fp8_e4m3, 1, 1, {-448, 0.0625});
  const auto of_fp8 =
      run_reference(Op::weight_only_linear, {x.view(), fp8.view(), scales.view()}, {});
  EXPECT_EQ(values_of(of_fp8[0].view()), (std::vector<double>{3 * -448 - 0.03125}));
}

}  // namespace
}  // namespace veloz::ops
