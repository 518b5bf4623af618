// SPDX-License-Identifier: Apache-2.0
#include "cuda/logit_cases.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

void run_log_softmax(const TensorView& logits, const TensorView& logprobs) {
  for (const ops::Kernel& kernel : kernels_of(Op::log_softmax))
    run_kernel(kernel, {logits}, {logprobs});
}

TEST(CudaLogSoftmax, MatchesTheReferenceOnOddRowsAndStrides) {
  for (const int64_t num_columns : {1, 2, 31, 1000, 4099, 32000})
    for (const int64_t gap : {0, 3}) {
      const OwnedTensor logits = random_logits(3, num_columns, 5, gap);
      logits.view().row<float>(2)[0] = 1;  // not all banned
      const auto want = test::run_reference(Op::log_softmax, {logits.view()});
      const OwnedTensor y(DType::fp32, logits.view().shape, num_columns + 2 * gap);
      run_log_softmax(logits.view(), y.view());
      EXPECT_WITHIN_TOLERANCE(Op::log_softmax, {logits.view()}, want, 0, y.view(), {}, 5);
      run_log_softmax(logits.view(), logits.view());
      EXPECT_TENSOR_EQ(logits.view(), y.view(), 5) << "in place";
    }
}

TEST(CudaLogSoftmax, MakesBrokenRowsNan) {
  OwnedTensor logits = random_logits(5, 301, 6);
  logits.view().row<float>(0)[300] = std::nanf("");
  logits.view().row<float>(1)[77] = kInfinity;
  for (int64_t i = 0; i < 301; ++i) {
    logits.view().row<float>(2)[i] = -kInfinity;
    logits.view().row<float>(3)[i] = std::nanf("");
  }
  const auto want = test::run_reference(Op::log_softmax, {logits.view()});
  const OwnedTensor y(DType::fp32, {5, 301});
  run_log_softmax(logits.view(), y.view());
  EXPECT_WITHIN_TOLERANCE(Op::log_softmax, {logits.view()}, want, 0, y.view(), {}, 6);
  EXPECT_TRUE(std::isnan(y.view().row<const float>(3)[9]));
  EXPECT_FALSE(std::isnan(y.view().row<const float>(4)[0]));
}

TEST(CudaLogSoftmax, GivesARowTheSameBitsWhereverItLies) {
  const OwnedTensor one = random_logits(1, 4099, 7);
  const OwnedTensor many(DType::fp32, {5, 4099});
  for (int64_t r = 0; r < 5; ++r)
    std::copy_n(one.view().as<const float>(), 4099, many.view().row<float>(r));
  const OwnedTensor y(DType::fp32, {5, 4099});
  const OwnedTensor alone(DType::fp32, {1, 4099});
  run_log_softmax(many.view(), y.view());
  run_log_softmax(one.view(), alone.view());
  for (int64_t r = 0; r < 5; ++r)
    EXPECT_TENSOR_EQ(rows_of(y.view(), r, r + 1), alone.view(), 7) << "row " << r;
}

void expect_same_top(const TensorView& logits, int64_t k) {
  const int64_t num_rows = logits.shape[0];
  const OwnedTensor chosen = test::random_tensor(
      DType::int32, {num_rows}, 3, {.low = 0, .high = static_cast<double>(logits.shape[1])});
  const ops::Attrs attrs{{"k", k}};
  const OwnedTensor want_chosen(DType::fp32, {num_rows}), want_logprobs(DType::fp32, {num_rows, k});
  const OwnedTensor want_ranks(DType::int32, {num_rows}), want_tokens(DType::int32, {num_rows, k});
  test::run_reference_into(
      Op::top_logprobs, {logits, chosen.view()},
      {want_chosen.view(), want_ranks.view(), want_logprobs.view(), want_tokens.view()}, attrs);
  for (const ops::Kernel& kernel : kernels_of(Op::top_logprobs)) {
    const OwnedTensor got_chosen(DType::fp32, {num_rows}), logprobs(DType::fp32, {num_rows, k});
    const OwnedTensor ranks(DType::int32, {num_rows}), tokens(DType::int32, {num_rows, k});
    run_kernel(kernel, {logits, chosen.view()},
               {got_chosen.view(), ranks.view(), logprobs.view(), tokens.view()}, attrs);
    EXPECT_TENSOR_EQ(got_chosen.view(), want_chosen.view(), 3) << kernel.name;
    EXPECT_TENSOR_EQ(ranks.view(), want_ranks.view(), 3) << kernel.name;
    EXPECT_TENSOR_EQ(logprobs.view(), want_logprobs.view(), 3) << kernel.name << " k " << k;
    EXPECT_TENSOR_EQ(tokens.view(), want_tokens.view(), 3) << kernel.name << " k " << k;
  }
}

TEST(CudaTopLogprobs, MatchTheReferenceForAnyK) {
  for (const int64_t num_columns : {1, 2, 31, 1000, 4099})
    for (const int64_t k : {0, 1, 5, 20, 31, 600, 4099})
      if (k <= num_columns) expect_same_top(random_logits(3, num_columns, 1).view(), k);
  expect_same_top(random_logits(2, 32000, 2).view(), 20);
  expect_same_top(random_logits(1, 10007, 2).view(), 10007);
}

TEST(CudaTopLogprobs, BreakTiesToTheLowerIdAndKeepBannedTokensLast) {
  for (const int64_t num_columns : {40, 9000}) {
    const OwnedTensor logits = random_logits(3, num_columns, 4);
    for (int64_t i = 0; i < num_columns; ++i) {
      logits.view().row<float>(0)[i] = 0.5f;                         // all alike
      logits.view().row<float>(1)[i] = i % 16 < 3 ? 1 : -kInfinity;  // most are banned
      logits.view().row<float>(2)[i] = i % 2 == 0 ? 0.0f : -0.0f;
    }
    for (const int64_t k : {8, 40}) expect_same_top(logits.view(), k);
    expect_same_top(logits.view(), num_columns);
  }
}

TEST(CudaTopLogprobs, AreNanForBrokenRows) {
  const OwnedTensor logits = random_logits(2, 1000, 4);
  logits.view().row<float>(0)[3] = std::nanf("");
  for (int64_t i = 0; i < 1000; ++i) logits.view().row<float>(1)[i] = -kInfinity;
  const OwnedTensor chosen(DType::int32, {2});
  const OwnedTensor of_chosen(DType::fp32, {2}), logprobs(DType::fp32, {2, 1000});
  const OwnedTensor ranks(DType::int32, {2}), tokens(DType::int32, {2, 1000});
  run_kernel(kernel_named("top_logprobs/threshold"), {logits.view(), chosen.view()},
             {of_chosen.view(), ranks.view(), logprobs.view(), tokens.view()},
             {{"k", int64_t{1000}}});
  for (int64_t r = 0; r < 2; ++r) {
    EXPECT_TRUE(std::isnan(of_chosen.view().as<const float>()[r]));
    std::vector<int32_t> seen(tokens.view().row<const int32_t>(r),
                              tokens.view().row<const int32_t>(r) + 1000);
    std::ranges::sort(seen);
    for (int32_t i = 0; i < 1000; ++i) {
      EXPECT_TRUE(std::isnan(logprobs.view().row<const float>(r)[i]));
      EXPECT_EQ(seen[static_cast<size_t>(i)], i);
    }
  }
}

}  // namespace
}  // namespace veloz::cuda
