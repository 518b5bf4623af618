// SPDX-License-Identifier: Apache-2.0
#include "ops/logprobs.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/infinity.h"
#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::kInfinity;
using test::OwnedTensor;
using test::random_tensor;
using test::tensor_of;

TEST(LogSoftmax, SumsToOneAndSurvivesLargeLogits) {
  const uint64_t seed = 81;
  const OwnedTensor x = random_tensor(DType::fp32, {3, 1003}, seed, {.low = 990, .high = 1010});
  const auto y = test::run_reference(Op::log_softmax, {x.view()});
  for (int64_t r = 0; r < 3; ++r) {
    double sum = 0;
    for (int64_t i = 0; i < 1003; ++i) sum += std::exp(test::element(y[0].view(), r * 1003 + i));
    EXPECT_NEAR(sum, 1, 1e-5);
  }
}

TEST(LogSoftmax, MarksBrokenRowsWithNanAndKeepsBans) {
  const OwnedTensor x = tensor_of<float>(
      {4, 2}, {0, -kInfinity, std::nanf(""), 0, kInfinity, 0, -kInfinity, -kInfinity});
  const auto y = test::run_reference(Op::log_softmax, {x.view()});
  EXPECT_EQ(test::element(y[0].view(), 0), 0);
  EXPECT_EQ(test::element(y[0].view(), 1), -kInfinity);
  for (int64_t i = 2; i < 8; ++i) EXPECT_TRUE(std::isnan(test::element(y[0].view(), i))) << i;
}

TEST(TopLogprobs, ListsTheBestWithTiesByLowerId) {
  const OwnedTensor x = tensor_of<float>({2, 6}, {1, 5, 3, 5, 3, 0, 2, 2, 2, 2, 2, 2});
  const OwnedTensor chosen = tensor_of<int32_t>({2}, {5, 0});
  const auto y =
      test::run_reference(Op::top_logprobs, {x.view(), chosen.view()}, {{"k", int64_t{4}}});
  EXPECT_EQ(test::values_of(y[3].view()), (std::vector<double>{1, 3, 2, 4, 0, 1, 2, 3}));
  EXPECT_NEAR(test::element(y[0].view(), 1), -std::log(6.0), 1e-6);
  EXPECT_NEAR(test::element(y[2].view(), 7), -std::log(6.0), 1e-6);
  const double log_sum = std::log(std::exp(-4) + 2 + 2 * std::exp(-2) + std::exp(-5));
  EXPECT_NEAR(test::element(y[0].view(), 0), -5 - log_sum, 1e-6);
  EXPECT_NEAR(test::element(y[2].view(), 0), -log_sum, 1e-6);
}

TEST(TopLogprobs, AgreesWithASortOfLogSoftmaxOnManyTokens) {
  const uint64_t seed = 82;
  const OwnedTensor x = random_tensor(DType::fp32, {2, 4099}, seed, {.low = -9, .high = 9});
  const OwnedTensor chosen = tensor_of<int32_t>({2}, {4098, 17});
  const auto all = test::run_reference(Op::log_softmax, {x.view()});
  const auto y =
      test::run_reference(Op::top_logprobs, {x.view(), chosen.view()}, {{"k", int64_t{20}}});
  for (int64_t r = 0; r < 2; ++r) {
    const float* const row = all[0].view().row<const float>(r);
    EXPECT_EQ(y[0].view().as<const float>()[r], row[chosen.view().as<const int32_t>()[r]]);
    std::vector<float> sorted(row, row + 4099);
    std::ranges::sort(sorted, std::greater());
    for (int64_t i = 0; i < 20; ++i) {
      EXPECT_EQ(y[2].view().row<const float>(r)[i], sorted[static_cast<size_t>(i)]);
      EXPECT_EQ(row[y[3].view().row<const int32_t>(r)[i]], sorted[static_cast<size_t>(i)]);
    }
  }
}

TEST(TopLogprobs, RanksTheChosenTokenAmongAll) {
  const OwnedTensor x = tensor_of<float>(
      {5, 4}, {7, 5, 3, 1, 7, 5, 3, 1, 7, 5, 5, 1, 0, 0, 0, 0, 1, -kInfinity, 2, -kInfinity});
  const OwnedTensor chosen = tensor_of<int32_t>({5}, {0, 3, 1, 2, 1});
  const auto y =
      test::run_reference(Op::top_logprobs, {x.view(), chosen.view()}, {{"k", int64_t{0}}});
  EXPECT_EQ(test::values_of(y[1].view()), (std::vector<double>{1, 4, 3, 4, 4}));
}

TEST(TopLogprobs, MayBeAskedForTheChosenTokenAlone) {
  const OwnedTensor x = tensor_of<float>({1, 2}, {0, 0});
  const OwnedTensor chosen = tensor_of<int32_t>({1}, {1});
  const auto y =
      test::run_reference(Op::top_logprobs, {x.view(), chosen.view()}, {{"k", int64_t{0}}});
  EXPECT_NEAR(test::element(y[0].view(), 0), -std::log(2.0), 1e-7);
  EXPECT_EQ(y[2].view().shape, (Shape{1, 0}));
}

}  // namespace
}  // namespace veloz::ops
