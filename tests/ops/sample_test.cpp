// SPDX-License-Identifier: Apache-2.0
#include "ops/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ops/kernel.h"
#include "support/infinity.h"
#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::kInfinity;
using test::OwnedTensor;
using test::random_tensor;
using test::tensor_of;

struct RowSpec {
  float temperature = 1;
  float top_p = 1;
  float min_p = 0;
  int32_t top_k = 0;
  std::array<int32_t, 5> rng = {1, 2, 0, 0, 0};  // seed low, seed high, choice, position, draw
};

struct Sampled {
  std::vector<double> tokens;
  std::vector<double> outcomes;
};

Sampled sample(const TensorView& logits, const std::vector<RowSpec>& rows) {
  const auto count = static_cast<int64_t>(rows.size());
  std::vector<float> params;
  std::vector<int32_t> top_k, rng;
  for (const RowSpec& row : rows) {
    params.insert(params.end(), {row.temperature, row.top_p, row.min_p});
    top_k.push_back(row.top_k);
    rng.insert(rng.end(), row.rng.begin(), row.rng.end());
  }
  const OwnedTensor params_tensor = tensor_of(Shape{count, 3}, params);
  const OwnedTensor top_k_tensor = tensor_of(Shape{count}, top_k);
  const OwnedTensor rng_tensor = tensor_of(Shape{count, 5}, rng);
  const auto y = test::run_reference(
      Op::sample, {logits, params_tensor.view(), top_k_tensor.view(), rng_tensor.view()});
  return {test::values_of(y[0].view()), test::values_of(y[1].view())};
}

/// How often each token comes out of `draws` positions.
std::vector<int64_t> histogram(const std::vector<float>& logits, RowSpec spec, int32_t draws) {
  const auto vocab_size = static_cast<int64_t>(logits.size());
  const OwnedTensor row = tensor_of(Shape{1, vocab_size}, logits);
  std::vector<int64_t> counts(logits.size());
  for (int32_t position = 0; position < draws; ++position) {
    spec.rng[3] = position;
    ++counts[static_cast<size_t>(sample(row.view(), {spec}).tokens[0])];
  }
  return counts;
}

/// Chi-square statistic of counts against probabilities; tokens of probability 0 must not occur.
double chi_square(const std::vector<int64_t>& counts, const std::vector<double>& probabilities) {
  const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  double statistic = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double expected = probabilities[i] * total;
    if (expected == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i;
    } else {
      statistic += std::pow(static_cast<double>(counts[i]) - expected, 2.0) / expected;
    }
  }
  return statistic;
}

std::vector<float> logs(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3));
  return logits;
}

TEST(Sample, IsGreedyAtTemperatureZeroWithTiesToTheLowerId) {
  const OwnedTensor logits = tensor_of<float>({2, 4}, {0, 7, 7, -kInfinity, -5, -9, -5, -5});
  const RowSpec greedy{.temperature = 0};
  EXPECT_EQ(sample(logits.view(), {greedy, greedy}).tokens, (std::vector<double>{1, 0}));
}

TEST(Sample, SaysWhatIsWrongWithBrokenRowsAndThoseAlone) {
  const OwnedTensor logits =
      tensor_of<float>({5, 3}, {0, 1, 0, 0, std::nanf(""), 9, std::nanf(""), 1, 0, kInfinity, 0, 0,
                                -kInfinity, -kInfinity, -kInfinity});
  for (const float temperature : {0.0f, 1.0f}) {
    const RowSpec spec{.temperature = temperature, .top_k = 1};
    const Sampled y = sample(logits.view(), {spec, spec, spec, spec, spec});
    EXPECT_EQ(y.outcomes, (std::vector<double>{0, 1, 1, 2, 3}));
    EXPECT_EQ(y.tokens[0], 1);
  }
}

TEST(Sample, FollowsTheProbabilities) {
  const std::vector<double> p = {0.5, 0.25, 0.125, 0.1, 0.025};
  // 4 degrees of freedom: 18.5 is the 99.9 % quantile. The draws are fixed, so this cannot flake.
  EXPECT_LT(chi_square(histogram(logs(p), {}, 20000), p), 18.5);
}

TEST(Sample, TemperatureSharpensAndFlattens) {
  const std::vector<double> p = {0.5, 0.25, 0.125, 0.1, 0.025};
  for (const float temperature : {0.5f, 2.0f}) {
    std::vector<double> sharpened;
    for (const double x : p) sharpened.push_back(std::pow(x, 1 / double{temperature}));
    const double sum = std::accumulate(sharpened.begin(), sharpened.end(), 0.0);
    for (double& x : sharpened) x /= sum;
    EXPECT_LT(chi_square(histogram(logs(p), {.temperature = temperature}, 20000), sharpened), 18.5);
  }
}

TEST(Sample, FiltersInTheOrderMinPThenTopKThenTopP) {
  const std::vector<double> p = {0.1, 0.4, 0.05, 0.25, 0.2};
  // min_p 0.3 of 0.4 drops 0.1 and 0.05; top_k 2 keeps 0.4 and 0.25; of their sum 0.6 is reached
  // by 0.4 alone.
  const auto counts = histogram(logs(p), {.top_p = 0.6f, .min_p = 0.3f, .top_k = 2}, 200);
  EXPECT_EQ(counts, (std::vector<int64_t>{0, 200, 0, 0, 0}));
  EXPECT_LT(chi_square(histogram(logs(p), {.min_p = 0.3f}, 20000),
                       {0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85}),
            13.8);
  EXPECT_LT(chi_square(histogram(logs(p), {.top_k = 2}, 20000), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}),
            10.8);
  EXPECT_LT(
      chi_square(histogram(logs(p), {.top_p = 0.6f}, 20000), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}),
      10.8);
}

TEST(Sample, CutsTiesAtAFiltersEdgeByLowerId) {
  const std::vector<float> equal(8, 1.0f);
  for (const RowSpec& spec : {RowSpec{.top_k = 3}, RowSpec{.top_p = 0.3f}}) {
    const auto counts = histogram(equal, spec, 300);
    for (size_t i = 0; i < 8; ++i) EXPECT_EQ(counts[i] > 0, i < 3) << i;
  }
}

TEST(Sample, TopPOfManyTokensKeepsWhatASortWouldKeep) {
  const uint64_t seed = 95;
  const OwnedTensor logits = random_tensor(DType::fp32, {1, 5003}, seed, {.low = -6, .high = 6});
  const float* const x = logits.view().as<const float>();
  std::vector<int32_t> order(5003);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return x[a] > x[b]; });
  double total = 0;
  for (const int32_t i : order) total += std::exp(double{x[i]});
  for (const float top_p : {0.01f, 0.2f, 0.9f}) {
    std::vector<float> kept(5003, -kInfinity);
    double sum = 0;
    for (size_t i = 0; i < order.size() && sum < top_p * total; ++i) {
      kept[static_cast<size_t>(order[i])] = x[order[i]];
      sum += std::exp(double{x[order[i]]});
    }
    const OwnedTensor kept_tensor = tensor_of(Shape{1, 5003}, kept);
    for (int32_t position = 0; position < 200; ++position) {
      RowSpec filtered{.top_p = top_p}, all;
      filtered.rng[3] = all.rng[3] = position;
      EXPECT_EQ(sample(logits.view(), {filtered}).tokens, sample(kept_tensor.view(), {all}).tokens);
    }
  }
}

TEST(Sample, ARowDependsOnItselfAlone) {
  const uint64_t seed = 96;
  const OwnedTensor logits = random_tensor(DType::fp32, {9, 1003}, seed, {.low = -3, .high = 3});
  std::vector<RowSpec> rows(9);
  for (int32_t r = 0; r < 9; ++r) {
    rows[static_cast<size_t>(r)].top_k = r % 3 * 50;
    rows[static_cast<size_t>(r)].top_p = r % 2 == 0 ? 1.0f : 0.7f;
    rows[static_cast<size_t>(r)].rng = {r, -r, r % 2, 5 * r, 0};
  }
  const Sampled together = sample(logits.view(), rows);
  for (size_t r = 0; r < 9; ++r) {
    const TensorView one(logits.view().row<float>(static_cast<int64_t>(r)), DType::fp32, {1, 1003});
    EXPECT_EQ(sample(one, {rows[r]}).tokens[0], together.tokens[r]) << r;
  }
}

TEST(Sample, SeedChoicePositionAndDrawEachGiveOtherNumbers) {
  const std::array<uint32_t, 5> base = {1, 2, 3, 4, 5};
  for (size_t i = 0; i < base.size(); ++i) {
    std::array<uint32_t, 5> other = base;
    ++other[i];
    EXPECT_NE(race_uniform(base, 0), race_uniform(other, 0)) << i;
  }
  EXPECT_NE(race_uniform(base, 0), race_uniform(base, 1));
  EXPECT_NE(race_uniform(base, 0), race_uniform(base, 4));
  double least = 1, most = 0;
  for (int32_t token = 0; token < 100000; ++token) {
    least = std::min(least, race_uniform(base, token));
    most = std::max(most, race_uniform(base, token));
  }
  EXPECT_GT(least, 0);
  EXPECT_LT(least, 1e-4);
  EXPECT_GT(most, 1 - 1e-4);
  EXPECT_LT(most, 1);
}

TEST(Sample, GivesTheSameOnAnyNumberOfThreads) {
  const uint64_t seed = 97;
  const OwnedTensor logits = random_tensor(DType::fp32, {7, 257}, seed);
  const OwnedTensor params = tensor_of<float>(
      {7, 3},
      std::vector<float>{1, 1, 0, 1, .5, 0, 1, .9f, .1f, 0, 1, 0, 2, 1, 0, 1, 1, 0, 1, .8f, 0});
  const OwnedTensor top_k = tensor_of<int32_t>({7}, {0, 0, 9, 0, 3, 1, 40});
  const OwnedTensor rng = random_tensor(DType::int32, {7, 5}, seed, {.low = 0, .high = 1 << 30});
  const std::vector<TensorView> inputs = {logits.view(), params.view(), top_k.view(), rng.view()};
  const auto alone = test::run_reference(Op::sample, inputs);
  for (const int num_threads : {2, 3}) {
    ThreadPool pool(num_threads);
    OwnedTensor tokens(DType::int32, {7}), outcomes(DType::int32, {7});
    const std::vector<TensorView> outputs = {tokens.view(), outcomes.view()};
    const Attrs attrs;
    const OpCall call{.inputs = inputs, .outputs = outputs, .attrs = attrs};
    const OwnedTensor workspace(
        DType::int8, {static_cast<int64_t>(op_def(Op::sample).workspace_bytes(call, num_threads))});
    OpContext context{
        .pool = &pool,
        .workspace = {workspace.view().as<std::byte>(), workspace.view().num_bytes()}};
    op_def(Op::sample).reference(context, call);
    EXPECT_TENSOR_EQ(tokens.view(), alone[0].view(), seed);
  }
}

}  // namespace
}  // namespace veloz::ops
