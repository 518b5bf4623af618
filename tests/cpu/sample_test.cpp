// SPDX-License-Identifier: Apache-2.0
#include "cpu/sample.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernel_runs.h"
#include "support/infinity.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::kInfinity;
using test::OwnedTensor;
using test::random_tensor;

struct Filters {
  float temperature = 1;
  float top_p = 1;
  float min_p = 0;
  int32_t top_k = 0;
};

/// Every mix of filters, one per row.
std::vector<Filters> filter_mixes() {
  std::vector<Filters> mixes;
  for (const float temperature : {0.0f, 1e-8f, 0.3f, 1.0f, 7.0f})
    for (const float top_p : {1.0f, 0.9f, 0.3f})
      for (const float min_p : {0.0f, 0.01f, 0.5f})
        for (const int32_t top_k : {0, 1, 2, 50, 256, 300})
          mixes.push_back({temperature, top_p, min_p, top_k});
  return mixes;
}

/// Logits like a model's: a bell, here and there equal or banned.
void fill_logits(const TensorView& logits, uint64_t seed) {
  const OwnedTensor noise = random_tensor(DType::fp32, {4, logits.shape.num_elements()}, seed);
  const auto row = [&](int64_t r, int64_t i) { return noise.view().row<const float>(r)[i]; };
  for (int64_t i = 0; i < logits.shape.num_elements(); ++i) {
    float logit = 4 * (row(0, i) + row(1, i) + row(2, i));
    if (row(3, i) > 0.9f) logit = std::round(logit);
    if (row(3, i) < -0.95f) logit = -kInfinity;
    logits.as<float>()[i] = logit;
  }
}

/// Runs a kernel and the reference on the same rows, one per mix.
void expect_same_choices(const ops::Kernel& kernel, const TensorView& logits,
                         const std::vector<Filters>& mixes, uint64_t seed, int num_threads) {
  const auto num_rows = static_cast<int64_t>(mixes.size());
  const OwnedTensor params(DType::fp32, {num_rows, 3}), top_k(DType::int32, {num_rows});
  for (int64_t r = 0; r < num_rows; ++r) {
    const Filters& mix = mixes[static_cast<size_t>(r)];
    float* const row = params.view().row<float>(r);
    row[0] = mix.temperature;
    row[1] = mix.top_p;
    row[2] = mix.min_p;
    top_k.view().as<int32_t>()[r] = mix.top_k;
  }
  const OwnedTensor rng =
      random_tensor(DType::int32, {num_rows, 5}, seed, {.low = -0x1p31, .high = 0x1p31});
  const std::vector<TensorView> inputs = {logits, params.view(), top_k.view(), rng.view()};
  const auto want = test::run_reference(Op::sample, inputs);
  const OwnedTensor tokens(DType::int32, {num_rows}), outcomes(DType::int32, {num_rows});
  run_kernel(kernel, inputs, {tokens.view(), outcomes.view()}, {}, num_threads);
  EXPECT_TENSOR_EQ(tokens.view(), want[0].view(), seed) << kernel.name;
  EXPECT_TENSOR_EQ(outcomes.view(), want[1].view(), seed) << kernel.name;
}

class SampleKernels : public ::testing::TestWithParam<ops::Kernel> {};

TEST_P(SampleKernels, ChooseTheReferencesTokensUnderAllFilters) {
  const std::vector<Filters> mixes = filter_mixes();
  for (const int64_t vocab_size : {1, 3, 66, 301, 1003})
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      const OwnedTensor logits(DType::fp32, {std::ssize(mixes), vocab_size});
      fill_logits(logits.view(), seed);
      expect_same_choices(GetParam(), logits.view(), mixes, seed, 3);
    }
}

TEST_P(SampleKernels, ChooseTheReferencesTokensOverARealVocabulary) {
  const std::vector<Filters> mixes(24, {.temperature = 0.9f});
  const OwnedTensor logits(DType::fp32, {24, 32000});
  fill_logits(logits.view(), 5);
  expect_same_choices(GetParam(), logits.view(), mixes, 6, 2);
  for (int64_t i = 0; i < 24 * 32000; ++i) logits.view().as<float>()[i] = 1;  // all alike
  expect_same_choices(GetParam(), logits.view(), mixes, 7, 2);
}

TEST_P(SampleKernels, RefuseTheRowsThatTheReferenceRefuses) {
  const std::vector<Filters> mixes = {{.temperature = 0}, {}, {.top_k = 5}, {.top_p = 0.5f}};
  for (const float poison : {std::nanf(""), kInfinity, -kInfinity, 3e38f})
    for (const int64_t at : {0, 40, 99}) {
      const OwnedTensor logits(DType::fp32, {4, 100});
      fill_logits(logits.view(), 9);
      for (int64_t r = 0; r < 4; ++r)
        for (int64_t i = 0; i < 100; ++i)
          if (i == at || poison == -kInfinity) logits.view().row<float>(r)[i] = poison;
      expect_same_choices(GetParam(), logits.view(), mixes, 9, 1);
    }
}

INSTANTIATE_TEST_SUITE_P(All, SampleKernels, ::testing::ValuesIn(kernels_of(Op::sample)),
                         [](const auto& test) { return test_name(test.param); });

}  // namespace
}  // namespace veloz::cpu
