// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/weight_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "compress/quantize/test_machine.h"
#include "ops/quantize_weights.h"
#include "support/tensors.h"

namespace veloz::compress {
namespace {

struct Case {
  std::string name;
  WeightFormat format;
};

class WeightGridFormats : public testing::TestWithParam<Case> {
 protected:
  test::TestMachine machine_;
};

std::vector<Case> all_formats() {
  std::vector<Case> cases;
  for (const DType scales : {DType::fp32, DType::bf16, DType::fp16}) {
    const std::string suffix = "_" + std::string(to_string(scales));
    cases.push_back({"int8" + suffix, {.dtype = DType::int8, .scale_dtype = scales}});
    cases.push_back({"fp8" + suffix, {.dtype = DType::fp8_e4m3, .scale_dtype = scales}});
    cases.push_back(
        {"int4" + suffix, {.dtype = DType::uint4x2, .group = 32, .scale_dtype = scales}});
    cases.push_back(
        {"int4_zeros" + suffix,
         {.dtype = DType::uint4x2, .group = 32, .has_zeros = true, .scale_dtype = scales}});
  }
  cases.push_back({"int4_rows", {.dtype = DType::uint4x2}});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, WeightGridFormats, testing::ValuesIn(all_formats()),
                         [](const auto& c) { return c.param.name; });

TEST_P(WeightGridFormats, RoundAsTheOpsDoToTheBit) {
  const WeightFormat& format = GetParam().format;
  Matrix w = test::normal_matrix(7, 96, 1);
  std::fill_n(w.row(3), 96, 0.0f);
  w.row(4)[40] = 100;                     // an outlier
  std::fill_n(w.row(5) + 32, 32, 0.25f);  // one sign only
  const QuantizedWeight mine = encode(
      w, choose_grids(w, format, RangeMethod::amax, machine_.pool()), format, machine_.pool());

  const int64_t groups = format.num_groups(96);
  const bool is_paired = format.dtype == DType::uint4x2;
  test::OwnedTensor codes(is_paired                     ? DType::uint8
                          : format.dtype == DType::int8 ? DType::int8
                                                        : DType::uint8,
                          {7, is_paired ? 48 : 96});
  TensorView code_view = codes.view();
  code_view.dtype = format.dtype;
  test::OwnedTensor scales(format.scale_dtype, {7, groups});
  test::OwnedTensor zeros(DType::uint8, {7, groups});
  ops::quantize_weights(w.view(), code_view, scales.view(),
                        format.has_zeros ? zeros.view() : TensorView());

  EXPECT_TRUE(std::equal(mine.codes.begin(), mine.codes.end(), codes.view().as<const uint8_t>()));
  for (int64_t i = 0; i < 7 * groups; ++i) {
    EXPECT_EQ(static_cast<double>(mine.grids.grids[static_cast<size_t>(i)].scale),
              test::element(scales.view(), i));
    const float zero = mine.grids.grids[static_cast<size_t>(i)].zero;
    EXPECT_EQ(format.has_zeros ? static_cast<double>(zero) : 0, test::element(zeros.view(), i));
  }
}

TEST_P(WeightGridFormats, RoundedWeightsAreDecodedAsTheyWereRounded) {
  const WeightFormat& format = GetParam().format;
  const Matrix w = test::normal_matrix(9, 64, 2);
  const WeightGrids grids = choose_grids(w, format, RangeMethod::mse, machine_.pool());
  const Matrix rounded = round_to_grids(w, grids, format, machine_.pool());
  EXPECT_EQ(decode(encode(w, grids, format, machine_.pool()), machine_.pool()).values,
            rounded.values);
  EXPECT_EQ(decode(encode(rounded, grids, format, machine_.pool()), machine_.pool()).values,
            rounded.values);
}

double squared_error(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (size_t i = 0; i < a.values.size(); ++i)
    sum += std::pow(static_cast<double>(a.values[i]) - static_cast<double>(b.values[i]), 2);
  return sum;
}

TEST(WeightGrid, SearchedRangesAreMoreExactThanFullOnes) {
  test::TestMachine machine;
  const WeightFormat format{.dtype = DType::uint4x2, .group = 64};
  const Matrix w = test::normal_matrix(32, 256, 3);
  const auto error = [&](RangeMethod method) {
    return squared_error(w, round_to_grids(w, choose_grids(w, format, method, machine.pool()),
                                           format, machine.pool()));
  };
  EXPECT_LT(error(RangeMethod::mse), 0.9 * error(RangeMethod::amax));
}

TEST(WeightGrid, RowsOfATensorWithOneScaleShareIt) {
  test::TestMachine machine;
  const WeightFormat format{.dtype = DType::fp8_e4m3, .is_per_tensor = true};
  Matrix w = test::normal_matrix(6, 40, 4);
  w.row(2)[7] = -224;
  const WeightGrids grids = choose_grids(w, format, RangeMethod::amax, machine.pool());
  for (int64_t n = 0; n < 6; ++n) EXPECT_EQ(grids.row(n)[0].scale, 0.5f);
}

TEST(WeightGrid, ThreadsDoNotShow) {
  test::TestMachine one(1);
  test::TestMachine three(3);
  const WeightFormat format{.dtype = DType::uint4x2, .group = 32, .has_zeros = true};
  const Matrix w = test::normal_matrix(67, 96, 5);
  const auto codes = [&](test::TestMachine& machine) {
    return encode(w, choose_grids(w, format, RangeMethod::mse, machine.pool()), format,
                  machine.pool())
        .codes;
  };
  EXPECT_EQ(codes(one), codes(three));
}

}  // namespace
}  // namespace veloz::compress
