// SPDX-License-Identifier: Apache-2.0
#include "ops/quantize.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <tuple>

#include "kernel_runs.h"
#include "support/edge_values.h"
#include "support/infinity.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::kInfinity;
using test::OwnedTensor;
using test::random_tensor;

constexpr float kNoNumber = std::numeric_limits<float>::quiet_NaN();

class QuantizeKernels : public ::testing::TestWithParam<std::tuple<ops::Kernel, DType, DType>> {
 protected:
  const ops::Kernel& kernel() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
  DType format() const { return std::get<2>(GetParam()); }
  ops::Attrs attrs() const { return {{"format", std::string(to_string(format()))}}; }

  /// Runs kernel and reference; codes and scales must have the same bits.
  void expect_equal_bits(const TensorView& x, const ops::Attrs& attrs, int num_threads = 2) const {
    const auto want = test::run_reference(Op::quantize, {x}, attrs);
    const OwnedTensor codes(format(), want[0].view().shape, x.shape[1] + 3);
    const OwnedTensor scales(DType::fp32, want[1].view().shape);
    run_kernel(kernel(), {x}, {codes.view(), scales.view()}, attrs, num_threads);
    EXPECT_TRUE(codes.gaps_untouched());
    for (int64_t t = 0; t < x.shape[0]; ++t)
      for (int64_t k = 0; k < x.shape[1]; ++k)
        ASSERT_EQ(int{codes.view().row<uint8_t>(t)[k]}, int{want[0].view().row<uint8_t>(t)[k]})
            << "row " << t << " column " << k << " of " << x.shape[1] << ", x "
            << test::element(x, t * x.shape[1] + k);
    EXPECT_TENSOR_EQ(scales.view(), want[1].view(), 0);
  }
};

TEST_P(QuantizeKernels, HaveTheReferencesBits) {
  for (const int64_t width : {1, 2, 15, 16, 33, 64, 257, 4096})
    for (const int64_t num_rows : {1, 7, 33}) {
      const double reach = static_cast<double>(width * num_rows);  // another one for each
      expect_equal_bits(random_tensor(dtype(), {num_rows, width}, 3,
                                      {.low = -reach, .high = reach, .row_stride = width + 5})
                            .view(),
                        attrs());
    }
}

TEST_P(QuantizeKernels, ScaleEachGroupByItself) {
  for (const int64_t group : {1, 16, 32, 48, 128}) {
    ops::Attrs with_group = attrs();
    with_group.set("group", group);
    expect_equal_bits(
        random_tensor(dtype(), {5, 3 * group}, 4, {.row_stride = 3 * group + 1}).view(),
        with_group);
  }
}

TEST_P(QuantizeKernels, SaturateUnderAFixedScale) {
  for (const double scale : {1e-25, 0.001, 0.01, 1.0, 1e25}) {
    ops::Attrs with_scale = attrs();
    with_scale.set("scale", scale);
    const OwnedTensor x = random_tensor(dtype(), {5, 70}, 5, {.low = -3, .high = 3});
    test::set_element(x.view(), 72, 0);
    test::set_element(x.view(), 150, kInfinity);
    test::set_element(x.view(), 220, kNoNumber);
    test::set_element(x.view(), 290, 3e38);
    expect_equal_bits(x.view(), with_scale);
  }
}

TEST_P(QuantizeKernels, RoundTiesToEven) {
  const std::vector<float> values = test::code_edges(format());
  const OwnedTensor x(dtype(), {1, static_cast<int64_t>(values.size())});
  for (size_t i = 0; i < values.size(); ++i)
    test::set_element(x.view(), static_cast<int64_t>(i), values[i]);
  expect_equal_bits(x.view(), attrs());
}

TEST_P(QuantizeKernels, AgreeOnZerosHugeAndTinyNumbersAndWhatIsNone) {
  const float kRows[][4] = {{0, 0, 0, 0},
                            {0, -0.0f, 1, -1},
                            {kNoNumber, 1, 2, 3},
                            {1, kInfinity, 2, 3},
                            {-kInfinity, kNoNumber, 0, 1},
                            {3e38f, -3e38f, 1e30f, 1},
                            {1e-29f, -1e-30f, 1e-31f, 0},
                            {9e-31f, -9e-31f, 1e-38f, 0},
                            {1e-40f, 0, -1e-45f, 0},
                            {1e30f, 1e-30f, -1e-30f, 5e29f}};
  for (const int64_t width : {4, 35}) {
    const OwnedTensor x(dtype(), {10, width});
    for (int64_t t = 0; t < 10; ++t)
      for (int64_t i = 0; i < 4; ++i)
        test::set_element(x.view(), t * width + width - 1 - i, kRows[t][i]);
    expect_equal_bits(x.view(), attrs());
  }
}

TEST_P(QuantizeKernels, GiveTheSameOnAnyNumberOfThreads) {
  const OwnedTensor x = random_tensor(dtype(), {200, 257}, 6);
  for (const int num_threads : {1, 3, 7}) expect_equal_bits(x.view(), attrs(), num_threads);
}

TEST_P(QuantizeKernels, NeverLookPastTheEndOfAnyOperand) {
  for (const int64_t width : {1, 31, 66}) {
    const OwnedTensor x = random_tensor(dtype(), {3, width}, 7);
    const OwnedTensor codes(format(), {3, width}), scales(DType::fp32, {3, 1});
    const test::GuardedTensor guarded_x(x.view()), guarded_codes(codes.view()),
        guarded_scales(scales.view());
    run_kernel(kernel(), {guarded_x.view()}, {guarded_codes.view(), guarded_scales.view()},
               attrs());
    run_kernel(kernel(), {x.view()}, {codes.view(), scales.view()}, attrs());
    EXPECT_TENSOR_EQ(guarded_codes.view(), codes.view(), 7);
  }
}

INSTANTIATE_TEST_SUITE_P(All, QuantizeKernels,
                         ::testing::Combine(::testing::ValuesIn(kernels_of(Op::quantize)),
                                            ::testing::Values(DType::fp32, DType::bf16),
                                            ::testing::Values(DType::int8, DType::fp8_e4m3)),
                         [](const auto& test) {
                           return fmt::format("{}_{}_to_{}", test_name(std::get<0>(test.param)),
                                              to_string(std::get<1>(test.param)),
                                              to_string(std::get<2>(test.param)));
                         });

}  // namespace
}  // namespace veloz::cpu
