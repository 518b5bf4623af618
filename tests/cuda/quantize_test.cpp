// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "cuda/row_calls.h"
#include "support/edge_values.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;
using test::random_tensor;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNoNumber = std::numeric_limits<float>::quiet_NaN();

class QuantizeKernels : public ::testing::TestWithParam<std::tuple<DType, DType>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  DType format() const { return std::get<1>(GetParam()); }
  ops::Attrs attrs() const { return {{"format", std::string(to_string(format()))}}; }

  /// Runs kernel and reference; codes and scales must have the same bits.
  void expect_equal_bits(const TensorView& x, const ops::Attrs& attrs, int64_t gap) const {
    const auto want = test::run_reference(Op::quantize, {x}, attrs);
    for (const ops::Kernel& kernel : kernels_of(Op::quantize)) {
      const auto got = run_row_kernel(kernel, {x}, attrs, gap);
      for (int64_t t = 0; t < x.shape[0]; ++t)
        for (int64_t k = 0; k < x.shape[1]; ++k)
          ASSERT_EQ(int{got[0].view().row<uint8_t>(t)[k]}, int{want[0].view().row<uint8_t>(t)[k]})
              << "row " << t << " column " << k << " of " << x.shape[1] << ", x "
              << test::element(x, t * x.shape[1] + k);
      EXPECT_TENSOR_EQ(got[1].view(), want[1].view(), 0);
    }
  }
};

TEST_P(QuantizeKernels, HaveTheReferencesBits) {
  for (const int64_t width : {1, 2, 15, 64, 257, 4096, 8200, 33000})
    for (const int64_t num_rows : {1, 7})
      for (const int64_t gap : {5, 8}) {
        if (width > 257 && num_rows > 1) continue;
        const double reach = static_cast<double>(width * num_rows);  // another one for each
        expect_equal_bits(random_tensor(dtype(), {num_rows, width}, 3,
                                        {.low = -reach, .high = reach, .row_stride = width + gap})
                              .view(),
                          attrs(), gap);
      }
}

TEST_P(QuantizeKernels, ScaleEachGroupByItself) {
  for (const int64_t group : {1, 8, 16, 32, 48, 128, 256, 512})
    for (const int64_t gap : {1, 8}) {
      ops::Attrs with_group = attrs();
      with_group.set("group", group);
      const OwnedTensor x =
          random_tensor(dtype(), {5, 3 * group}, 4, {.row_stride = 3 * group + gap});
      test::set_element(x.view(), 4 * group, kNoNumber);  // of one group of row 1
      for (int64_t i = 0; i < group; ++i) test::set_element(x.view(), 6 * group + i, 0);
      expect_equal_bits(x.view(), with_group, gap);
    }
}

TEST_P(QuantizeKernels, SaturateUnderAFixedScale) {
  for (const double scale : {1e-25, 0.001, 0.01, 1.0, 1e25})
    for (const int64_t width : {70, 72}) {
      ops::Attrs with_scale = attrs();
      with_scale.set("scale", scale);
      const OwnedTensor x = random_tensor(dtype(), {5, width}, 5, {.low = -3, .high = 3});
      test::set_element(x.view(), width + 2, 0);
      test::set_element(x.view(), 2 * width + 10, kInfinity);
      test::set_element(x.view(), 3 * width + 10, kNoNumber);
      test::set_element(x.view(), 4 * width + 10, 3e38);
      expect_equal_bits(x.view(), with_scale, 8);
    }
}

TEST_P(QuantizeKernels, RoundTiesToEven) {
  std::vector<float> values = test::code_edges(format());
  values.resize(round_up(values.size(), size_t{8}), 0.0f);
  const OwnedTensor x(dtype(), {1, static_cast<int64_t>(values.size())});
  for (size_t i = 0; i < values.size(); ++i)
    test::set_element(x.view(), static_cast<int64_t>(i), values[i]);
  for (const int64_t gap : {0, 3}) expect_equal_bits(x.view(), attrs(), gap);
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
  for (const int64_t width : {4, 35, 40}) {
    const OwnedTensor x(dtype(), {10, width});
    for (int64_t t = 0; t < 10; ++t)
      for (int64_t i = 0; i < 4; ++i)
        test::set_element(x.view(), t * width + width - 1 - i, kRows[t][i]);
    expect_equal_bits(x.view(), attrs(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Cuda, QuantizeKernels,
                         ::testing::Combine(::testing::Values(DType::fp32, DType::bf16),
                                            ::testing::Values(DType::int8, DType::fp8_e4m3)),
                         [](const auto& param) {
                           return fmt::format("{}_to_{}", to_string(std::get<0>(param.param)),
                                              to_string(std::get<1>(param.param)));
                         });

}  // namespace
}  // namespace veloz::cuda
