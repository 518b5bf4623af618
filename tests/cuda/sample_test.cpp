// SPDX-License-Identifier: Apache-2.0
#include "ops/sample.h"

#include <array>

#include "cuda/logit_cases.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

struct Filters {
  float temperature = 1;
  float top_p = 1;
  float min_p = 0;
  int32_t top_k = 0;
};

/// Every mix of filters.
std::vector<Filters> filter_mixes() {
  std::vector<Filters> mixes;
  for (const float temperature : {0.0f, 1e-8f, 0.3f, 1.0f, 7.0f})
    for (const float top_p : {1.0f, 0.9f, 0.3f})
      for (const float min_p : {0.0f, 0.01f, 0.5f})
        for (const int32_t top_k : {0, 1, 2, 50, 600})
          mixes.push_back({temperature, top_p, min_p, top_k});
  return mixes;
}

/// Those of which a row's work differs, for long rows.
std::vector<Filters> hard_mixes() {
  return {{.temperature = 0},
          {},
          {.temperature = 0.7f, .top_p = 0.95f},
          {.temperature = 7, .top_p = 0.9f},
          {.temperature = 1e30f, .top_p = 0.7f},
          {.temperature = 1e-8f, .top_p = 0.9f},
          {.min_p = 0.02f},
          {.top_p = 0.8f, .min_p = 0.001f},
          {.top_k = 1},
          {.top_k = 50},
          {.top_p = 0.9f, .top_k = 512},
          {.top_k = 513},
          {.temperature = 3, .top_p = 0.9f, .top_k = 5000},
          {.temperature = 20, .top_k = 20000},
          {.temperature = 20, .top_p = 0.5f, .min_p = 0.3f, .top_k = 31999}};
}

struct Operands {
  OwnedTensor params, top_k, rng;
};

/// One mix for each row.
Operands operands_of(const std::vector<Filters>& mixes, uint64_t seed) {
  const int64_t num_rows = std::ssize(mixes);
  Operands operands{OwnedTensor(DType::fp32, {num_rows, 3}, 4),
                    OwnedTensor(DType::int32, {num_rows}),
                    test::random_tensor(DType::int32, {num_rows, 5}, seed,
                                        {.low = -0x1p31, .high = 0x1p31, .row_stride = 7})};
  for (int64_t r = 0; r < num_rows; ++r) {
    const Filters& mix = mixes[static_cast<size_t>(r)];
    float* const row = operands.params.view().row<float>(r);
    row[0] = mix.temperature;
    row[1] = mix.top_p;
    row[2] = mix.min_p;
    operands.top_k.view().as<int32_t>()[r] = mix.top_k;
  }
  return operands;
}

void expect_same_choices(const TensorView& logits, const std::vector<Filters>& mixes,
                         uint64_t seed) {
  const Operands operands = operands_of(mixes, seed);
  const std::vector<TensorView> inputs = {logits, operands.params.view(), operands.top_k.view(),
                                          operands.rng.view()};
  const auto want = test::run_reference(Op::sample, inputs);
  for (const ops::Kernel& kernel : kernels_of(Op::sample)) {
    const OwnedTensor tokens(DType::int32, {std::ssize(mixes)});
    const OwnedTensor outcomes(DType::int32, {std::ssize(mixes)});
    run_kernel(kernel, inputs, {tokens.view(), outcomes.view()});
    EXPECT_TENSOR_EQ(tokens.view(), want[0].view(), seed) << kernel.name;
    EXPECT_TENSOR_EQ(outcomes.view(), want[1].view(), seed) << kernel.name;
  }
}

TEST(CudaSample, ChoosesTheReferencesTokensUnderAllFilters) {
  const std::vector<Filters> mixes = filter_mixes();
  for (const int64_t num_columns : {1, 2, 31, 1000})
    expect_same_choices(random_logits(std::ssize(mixes), num_columns, 3, num_columns % 3).view(),
                        mixes, 11);
}

TEST(CudaSample, ChoosesTheReferencesTokensFromLongRows) {
  const std::vector<Filters> mixes = hard_mixes();
  for (const int64_t num_columns : {4099, 32000})
    for (const uint64_t seed : {1, 2})
      expect_same_choices(random_logits(std::ssize(mixes), num_columns, seed).view(), mixes, seed);
}

TEST(CudaSample, BreaksTiesAsTheReferenceDoes) {
  const std::vector<Filters> mixes = hard_mixes();
  for (const int64_t num_columns : {1000, 4099, 20001}) {
    const OwnedTensor logits = random_logits(std::ssize(mixes), num_columns, 7);
    for (int64_t r = 0; r < std::ssize(mixes); ++r)
      for (int64_t i = 0; i < num_columns; ++i) {
        float& x = logits.view().row<float>(r)[i];
        x = std::round(x / 4);  // few values, zeros of both signs
      }
    expect_same_choices(logits.view(), mixes, 8);
    for (int64_t i = 0; i < std::ssize(mixes) * num_columns; ++i)
      logits.view().as<float>()[i] = -2.5f;  // all alike
    expect_same_choices(logits.view(), mixes, 9);
  }
}

/// A seed whose race among the first `count` of equal tokens the last of them wins.
int32_t seed_for_the_last(int32_t count) {
  for (uint32_t seed = 0;; ++seed) {
    const std::array<uint32_t, 5> rng = {seed, 0, 0, 0, 0};
    const double last = ops::race_uniform(rng, count - 1);
    int32_t token = 0;
    while (token < count - 1 && ops::race_uniform(rng, token) < last) ++token;
    if (token == count - 1) return static_cast<int32_t>(seed);
  }
}

TEST(CudaSample, PutsTheEdgeOfAFilterWhereItBelongs) {
  // The search looks at the 8192 equal logits in sixteenths: some edges lie between two of them.
  constexpr int64_t kNumColumns = 8192;
  const OwnedTensor logits(DType::fp32, {2, kNumColumns});
  const auto expect_edge_after = [&](int32_t num_kept, const Filters& filters) {
    Operands operands = operands_of({filters, filters}, 1);
    for (int64_t r = 0; r < 2; ++r) {
      int32_t* const rng = operands.rng.view().row<int32_t>(r);
      std::fill_n(rng, 5, 0);
      rng[0] = seed_for_the_last(num_kept + static_cast<int32_t>(r));
    }
    const OwnedTensor tokens(DType::int32, {2}), outcomes(DType::int32, {2});
    run_kernel(kernel_named("sample/threshold"),
               {logits.view(), operands.params.view(), operands.top_k.view(), operands.rng.view()},
               {tokens.view(), outcomes.view()});
    EXPECT_EQ(tokens.view().as<const int32_t>()[0], num_kept - 1);
    EXPECT_LT(tokens.view().as<const int32_t>()[1], num_kept);
  };
  for (const int32_t top_k : {1, 2, 511, 512, 513, 1024, 1025, 4096, 4097, 7680, 8191})
    expect_edge_after(top_k, {.top_k = top_k});
  for (const float sixteenths : {1.0f, 2.0f, 2.5f, 8.0f, 15.0f, 15.75f})
    expect_edge_after(static_cast<int32_t>(512 * sixteenths), {.top_p = sixteenths / 16});
  expect_edge_after(513, {.top_p = 1.0f / 16 + 1e-6f});
  expect_edge_after(300, {.top_p = 0.5f, .top_k = 600});
}

TEST(CudaSample, RefusesTheRowsThatTheReferenceRefuses) {
  const std::vector<Filters> mixes = {
      {.temperature = 0}, {}, {.top_k = 5}, {.top_p = 0.5f}, {.temperature = 3e38f}};
  const int64_t num_rows = std::ssize(mixes);
  for (const float poison : {std::nanf(""), -std::nanf(""), kInfinity, -kInfinity, 3e38f, -3e38f})
    for (const int64_t at : {0, 40, 99}) {
      const OwnedTensor logits = random_logits(num_rows, 100, 9);
      for (int64_t r = 0; r < num_rows; ++r) {
        float* const row = logits.view().row<float>(r);
        std::fill_n(row + 50, 20, -3.4e38f);  // far below, yet likely where it is hot
        row[at] = poison;
        if (poison == -kInfinity) std::fill_n(row, 100, poison);
      }
      expect_same_choices(logits.view(), mixes, 9);
    }
}

TEST(CudaSample, ChoosesAmongFewTokensThatAreNotBanned) {
  const std::vector<Filters> mixes = hard_mixes();
  const OwnedTensor logits(DType::fp32, {std::ssize(mixes), 5000});
  for (int64_t r = 0; r < std::ssize(mixes); ++r)
    for (int64_t i = 0; i < 5000; ++i)
      logits.view().row<float>(r)[i] =
          i % 1250 == 700 ? static_cast<float>(i % 3) * 1e-3f : -kInfinity;
  for (const uint64_t seed : {1, 2, 3}) expect_same_choices(logits.view(), mixes, seed);
}

TEST(CudaSample, DoesNothingForNoRows) {
  const OwnedTensor logits(DType::fp32, {0, 8}), params(DType::fp32, {0, 3});
  const OwnedTensor top_k(DType::int32, {0}), rng(DType::int32, {0, 5});
  const OwnedTensor tokens(DType::int32, {0}), outcomes(DType::int32, {0});
  run_kernel(kernel_named("sample/threshold"),
             {logits.view(), params.view(), top_k.view(), rng.view()},
             {tokens.view(), outcomes.view()});
}

}  // namespace
}  // namespace veloz::cuda
