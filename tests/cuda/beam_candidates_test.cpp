// SPDX-License-Identifier: Apache-2.0
#include "cuda/logit_cases.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

void expect_same_candidates(const TensorView& logprobs, const std::vector<int32_t>& starts,
                            int64_t k) {
  const OwnedTensor beam_scores =
      test::random_tensor(DType::fp32, {logprobs.shape[0]}, 5, {.low = -3, .high = 0});
  for (int64_t r = 0; r < logprobs.shape[0]; ++r) {
    float& score = beam_scores.view().as<float>()[r];
    score = std::round(score);  // so that rows tie
  }
  const OwnedTensor group_starts = test::tensor_of<int32_t>({std::ssize(starts)}, starts);
  const std::vector<TensorView> inputs = {logprobs, beam_scores.view(), group_starts.view()};
  const ops::Attrs attrs{{"k", k}};
  const auto want = test::run_reference(Op::beam_candidates, inputs, attrs);
  const int64_t num_groups = std::ssize(starts) - 1;
  for (const ops::Kernel& kernel : kernels_of(Op::beam_candidates)) {
    const OwnedTensor scores(DType::fp32, {num_groups, k}, k + 3);
    const OwnedTensor beams(DType::int32, {num_groups, k}, k + 1);
    const OwnedTensor tokens(DType::int32, {num_groups, k}), is_valid(DType::int32, {num_groups});
    run_kernel(kernel, inputs, {scores.view(), beams.view(), tokens.view(), is_valid.view()},
               attrs);
    EXPECT_TENSOR_EQ(scores.view(), want[0].view(), 5) << "k " << k;
    EXPECT_TENSOR_EQ(beams.view(), want[1].view(), 5) << "k " << k;
    EXPECT_TENSOR_EQ(tokens.view(), want[2].view(), 5) << "k " << k;
    EXPECT_TENSOR_EQ(is_valid.view(), want[3].view(), 5) << "k " << k;
  }
}

TEST(CudaBeamCandidates, MatchTheReferenceForGroupsOfAnySize) {
  for (const int64_t num_columns : {1, 2, 31, 1003, 4099})
    for (const int64_t k : {1, 8, 300, 700})
      expect_same_candidates(random_logits(6, num_columns, 2, 1).view(), {0, 4, 4, 5, 6}, k);
  expect_same_candidates(random_logits(4, 32000, 3).view(), {0, 4}, 8);
}

TEST(CudaBeamCandidates, BreakTiesToTheLowerRowThenTheLowerToken) {
  const OwnedTensor logprobs = random_logits(5, 3001, 4);
  for (int64_t i = 0; i < 5 * 3001; ++i) {
    float& x = logprobs.view().as<float>()[i];
    x = std::round(x / 4);
  }
  for (const int64_t k : {6, 512, 5000}) expect_same_candidates(logprobs.view(), {0, 3, 5}, k);
  for (int64_t i = 0; i < 5 * 3001; ++i) logprobs.view().as<float>()[i] = -0.0f;
  for (const int64_t k : {6, 5000}) expect_same_candidates(logprobs.view(), {0, 5}, k);
}

TEST(CudaBeamCandidates, LeaveBannedTokensOut) {
  const OwnedTensor logprobs = random_logits(4, 1000, 4);
  for (int64_t r = 0; r < 4; ++r)
    for (int64_t i = 0; i < 1000; ++i)
      if (r == 3 || i % 100 != 37) logprobs.view().row<float>(r)[i] = -kInfinity;
  for (const int64_t k : {4, 40, 600}) expect_same_candidates(logprobs.view(), {0, 2, 3, 4}, k);
}

TEST(CudaBeamCandidates, MarkGroupsWithANan) {
  const OwnedTensor logprobs = random_logits(3, 500, 4);
  logprobs.view().row<float>(1)[499] = std::nanf("");
  const OwnedTensor beam_scores(DType::fp32, {3});
  const OwnedTensor starts = test::tensor_of<int32_t>({4}, {0, 1, 2, 3});
  const OwnedTensor scores(DType::fp32, {3, 4}), is_valid(DType::int32, {3});
  const OwnedTensor beams(DType::int32, {3, 4}), tokens(DType::int32, {3, 4});
  run_kernel(kernel_named("beam_candidates/threshold"),
             {logprobs.view(), beam_scores.view(), starts.view()},
             {scores.view(), beams.view(), tokens.view(), is_valid.view()}, {{"k", int64_t{4}}});
  EXPECT_EQ(test::values_of(is_valid.view()), (std::vector<double>{1, 0, 1}));
}

}  // namespace
}  // namespace veloz::cuda
