// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/scale_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "compress/quantize/clip_search.h"
#include "compress/quantize/test_machine.h"

namespace veloz::compress {
namespace {

constexpr int64_t kColumns = 128;

class ScaleSearch : public testing::Test {
 protected:
  ScaleSearch()
      : w_(test::normal_matrix(40, kColumns, 1)),
        more_(test::normal_matrix(24, kColumns, 2)),
        input_(test::observe(test::layer_inputs(600, kColumns, 3, 30), {}, machine_.get())) {}

  ScaleProblem smooth() const {
    return {.weights = {&w_, &more_},
            .input = &input_,
            .weight_format = {.dtype = DType::int8},
            .activation = ActivationFormat{DType::int8, {}}};
  }
  ScaleProblem awq() const {
    return {.weights = {&w_, &more_},
            .input = &input_,
            .weight_format = {.dtype = DType::uint4x2, .group = 32}};
  }

  test::TestMachine machine_;
  Matrix w_, more_;
  InputStatistics input_;
};

TEST_F(ScaleSearch, SmoothQuantTakesFourFifthsOfTheErrorOfOutliers) {
  const ScaleChoice choice = search_scales(smooth(), ScaleRule::smooth_quant, machine_.get());
  EXPECT_TRUE(choice.alpha.has_value());
  EXPECT_LT(choice.error.noise, 0.2 * choice.error_without.noise);
}

TEST_F(ScaleSearch, AwqHalvesTheErrorOfOutliers) {
  const ScaleChoice choice = search_scales(awq(), ScaleRule::awq, machine_.get());
  EXPECT_TRUE(choice.alpha.has_value());
  EXPECT_LT(choice.error.noise, 0.5 * choice.error_without.noise);
}

TEST_F(ScaleSearch, ScalesFollowTheFormula) {
  const std::vector<float> half = scales_for(smooth(), ScaleRule::smooth_quant, 0.5);
  const std::vector<float> whole = scales_for(smooth(), ScaleRule::smooth_quant, 1);
  // With alpha 1 only inputs count; scales are given up to one common factor.
  EXPECT_NEAR(whole[5] / whole[6], input_.amax()[5] / input_.amax()[6], 1e-3f);
  float w5 = 0;
  float w6 = 0;
  for (const Matrix* w : {&w_, &more_})
    for (int64_t n = 0; n < w->rows; ++n) {
      w5 = std::max(w5, std::abs(w->row(n)[5]));
      w6 = std::max(w6, std::abs(w->row(n)[6]));
    }
  EXPECT_NEAR(half[5] / half[6],
              std::sqrt(input_.amax()[5] / input_.amax()[6]) / std::sqrt(w5 / w6), 1e-3f);
  EXPECT_NEAR(*std::ranges::min_element(half) * *std::ranges::max_element(half), 1.0f, 1e-3f);
}

TEST_F(ScaleSearch, ColumnsOfOneChannelShareAScale) {
  std::vector<int32_t> channels;
  for (int32_t k = 0; k < kColumns; ++k) channels.push_back(k % 64);
  ScaleProblem problem = awq();
  problem.channel_of_column = channels;
  const std::vector<float> scales = scales_for(problem, ScaleRule::awq, 0.6);
  for (size_t k = 0; k < 64; ++k) EXPECT_EQ(scales[k], scales[k + 64]);
  EXPECT_NE(scales[5], scales[6]);
}

TEST_F(ScaleSearch, ADeadColumnHasScaleOne) {
  Matrix x = test::layer_inputs(100, kColumns, 4, 10);
  for (int64_t t = 0; t < 100; ++t) x.row(t)[7] = 0;
  const InputStatistics input = test::observe(x, {}, machine_.get());
  ScaleProblem problem = smooth();
  problem.input = &input;
  EXPECT_EQ(scales_for(problem, ScaleRule::smooth_quant, 0.5)[7], 1.0f);
}

TEST_F(ScaleSearch, WithoutAnythingToGainScalesAreOne) {
  ScaleProblem problem = awq();
  const Matrix zeros(40, kColumns);
  problem.weights = {&zeros};
  const ScaleChoice choice = search_scales(problem, ScaleRule::awq, machine_.get());
  EXPECT_FALSE(choice.alpha.has_value());
  EXPECT_EQ(choice.scales, std::vector<float>(kColumns, 1.0f));
}

TEST_F(ScaleSearch, ClippedRangesServeTheOutputsBetterThanFullOnes) {
  const WeightFormat format{.dtype = DType::uint4x2, .group = 64};
  const Matrix expected = multiply(input_.samples(), w_, machine_.get());
  const auto error = [&](const WeightGrids& grids) {
    return output_error(expected, input_.samples(),
                        round_to_grids(w_, grids, format, machine_.pool()), machine_.get())
        .relative();
  };
  EXPECT_LT(error(clip_grids(w_, input_.samples(), format, machine_.get())),
            0.85 * error(choose_grids(w_, format, RangeMethod::amax, machine_.pool())));
}

TEST_F(ScaleSearch, ThreadsDoNotShow) {
  test::TestMachine one(1);
  test::TestMachine three(3);
  EXPECT_EQ(search_scales(awq(), ScaleRule::awq, one.get()).error.noise,
            search_scales(awq(), ScaleRule::awq, three.get()).error.noise);
}

}  // namespace
}  // namespace veloz::compress
