// SPDX-License-Identifier: Apache-2.0
#include "ops/beam_candidates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "support/infinity.h"
#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::kBan;
using test::OwnedTensor;
using test::random_tensor;
using test::tensor_of;

TEST(BeamCandidates, MergesTheRowsOfAGroupWithTheirScores) {
  const OwnedTensor logprobs = tensor_of<float>({3, 3}, {-1, -2, -3,  //
                                                         -1, -9, -1,  //
                                                         -5, -4, -4});
  const OwnedTensor scores = tensor_of<float>({3}, {-1, 0, 2});
  const OwnedTensor starts = tensor_of<int32_t>({3}, {0, 2, 3});
  const auto y = test::run_reference(
      Op::beam_candidates, {logprobs.view(), scores.view(), starts.view()}, {{"k", int64_t{4}}});
  EXPECT_EQ(test::values_of(y[0].view()), (std::vector<double>{-1, -1, -2, -3, -2, -2, -3, kBan}));
  EXPECT_EQ(test::values_of(y[1].view()), (std::vector<double>{1, 1, 0, 0, 0, 0, 0, -1}));
  EXPECT_EQ(test::values_of(y[2].view()), (std::vector<double>{0, 2, 0, 1, 1, 2, 0, -1}));
  EXPECT_EQ(test::values_of(y[3].view()), (std::vector<double>{1, 1}));
}

TEST(BeamCandidates, LeavesOutBannedTokensAndMarksNan) {
  const OwnedTensor logprobs = tensor_of<float>({2, 2}, {kBan, -1, 0, std::nanf("")});
  const OwnedTensor scores = tensor_of<float>({2}, {0, 0});
  const OwnedTensor starts = tensor_of<int32_t>({3}, {0, 1, 2});
  const auto y = test::run_reference(
      Op::beam_candidates, {logprobs.view(), scores.view(), starts.view()}, {{"k", int64_t{2}}});
  EXPECT_EQ(y[2].view().as<const int32_t>()[0], 1);
  EXPECT_EQ(y[2].view().as<const int32_t>()[1], -1);
  EXPECT_EQ(test::values_of(y[3].view()), (std::vector<double>{1, 0}));
}

TEST(BeamCandidates, AgreesWithAFullSort) {
  const uint64_t seed = 91;
  // Coarse values: many ties.
  OwnedTensor logprobs = random_tensor(DType::fp32, {4, 1003}, seed, {.low = -40, .high = 0});
  for (float& x : logprobs.elements<float>()) x = std::round(x);
  const OwnedTensor scores = tensor_of<float>({4}, {-3, -1, -2, -1});
  const OwnedTensor starts = tensor_of<int32_t>({2}, {0, 4});
  const auto y = test::run_reference(
      Op::beam_candidates, {logprobs.view(), scores.view(), starts.view()}, {{"k", int64_t{200}}});
  std::vector<std::tuple<float, int32_t, int32_t>> all;
  for (int32_t r = 0; r < 4; ++r)
    for (int32_t i = 0; i < 1003; ++i)
      all.emplace_back(-(logprobs.view().row<float>(r)[i] + scores.view().as<const float>()[r]), r,
                       i);
  std::ranges::sort(all);
  for (size_t i = 0; i < 200; ++i) {
    const auto at = static_cast<int64_t>(i);
    EXPECT_EQ(all[i],
              std::tuple(-y[0].view().as<const float>()[at], y[1].view().as<const int32_t>()[at],
                         y[2].view().as<const int32_t>()[at]));
  }
}

}  // namespace
}  // namespace veloz::ops
