// SPDX-License-Identifier: Apache-2.0
// What a step is predicted to cost before one has run, from an engine's plan and the machine's
// peaks.
#include "api/step_costs.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "api/backend.h"
#include "api/executor_options.h"
#include "engine/engine.h"
#include "support/golden_models.h"
#include "support/temp_directory.h"
#include "veloz/build.h"

namespace veloz::api {
namespace {

class StepCosts : public testing::Test {
 protected:
  // Of tests/golden/models/llama-gqa-bf16.
  static constexpr int64_t kNumLayers = 2;
  static constexpr int64_t kHiddenSize = 66;
  static constexpr int64_t kIntermediateSize = 67;
  static constexpr int64_t kNumHeads = 6;
  static constexpr int64_t kNumKvHeads = 3;
  static constexpr int64_t kHeadDim = 24;
  static constexpr int64_t kVocabSize = 1003;

  static constexpr int64_t kQkvWidth = (kNumHeads + 2 * kNumKvHeads) * kHeadDim;
  static constexpr int64_t kProductsOfToken =
      kNumLayers * (kHiddenSize * kQkvWidth + kNumHeads * kHeadDim * kHiddenSize +
                    3 * kHiddenSize * kIntermediateSize);

  static serving::StepWork run(int64_t position, int64_t num_tokens) {
    serving::StepWork work;
    work.add_run(position, num_tokens);
    work.num_rows = 1;
    return work;
  }

  /// All arithmetic at one rate, and all bytes at another, however fast this machine is.
  static void expect_of_plan(const serving::CostCoefficients& costs) {
    constexpr double kTolerance = 1e-9;
    const auto products = static_cast<double>(kProductsOfToken);
    EXPECT_NEAR(costs.row_s / costs.token_s, kHiddenSize * kVocabSize / products, kTolerance);
    EXPECT_NEAR(costs.attended_s / costs.token_s, 2 * kNumLayers * kNumHeads * kHeadDim / products,
                kTolerance);
  }

  test::TempDirectory directory_;
  const engine::Engine engine_ = [this] {
    const auto path = directory_.path() / "engine";
    build(test::small_build(test::golden_model("llama-gqa-bf16"), path, "bf16"));
    return engine::Engine::open(path);
  }();
  Backend backend_ = open_backend({.device = "cpu", .num_threads = 1}, "cpu");
};

TEST_F(StepCosts, AreThoseOfThePlansArithmeticAndBytes) {
  const serving::CostCoefficients costs = estimate_step_costs(engine_, backend_);
  expect_of_plan(costs);
  EXPECT_GT(costs.step_s, 0);
  EXPECT_GT(costs.kv_read_s, 0);
  // A step reads the weights, 2 bytes each; a position of the cache is some thousands of times
  // less.
  constexpr int64_t kPositionBytes = kNumLayers * 2 * kNumKvHeads * kHeadDim * 2;
  constexpr int64_t kWeightBytes = 2 * (kProductsOfToken + kHiddenSize * kVocabSize);
  EXPECT_GT(costs.step_s, costs.kv_read_s * kWeightBytes / kPositionBytes);
}

TEST_F(StepCosts, PredictMoreForMoreTokensAndLongerContexts) {
  const serving::CostCoefficients costs = estimate_step_costs(engine_, backend_);
  const serving::CostModel model(costs);
  double before_s = 0;
  for (const int64_t num_tokens : {1, 2, 16, 100, 500}) {
    const double predicted_s = model.predict(run(0, num_tokens));
    EXPECT_GT(predicted_s, before_s);
    before_s = predicted_s;
  }
  before_s = 0;
  for (const int64_t position : {0, 1, 64, 400}) {
    const double predicted_s = model.predict(run(position, 1));
    EXPECT_GT(predicted_s, before_s);
    before_s = predicted_s;
  }
  // 3 tokens behind 10: they attend to 11 + 12 + 13 positions, and 13 are read.
  EXPECT_DOUBLE_EQ(model.predict(run(10, 3)), costs.step_s + 3 * costs.token_s + costs.row_s +
                                                  36 * costs.attended_s + 13 * costs.kv_read_s);
}

TEST_F(StepCosts, AreWhereTheSchedulerOfATargetStarts) {
  const serving::SchedulerOptions aimed =
      to_executor_options(engine_, {.target_step_ms = 250}, backend_).scheduling;
  EXPECT_DOUBLE_EQ(aimed.target_step_s, 0.25);
  expect_of_plan(aimed.costs);
  const serving::SchedulerOptions free = to_executor_options(engine_, {}, backend_).scheduling;
  EXPECT_EQ(free.target_step_s, 0);
}

}  // namespace
}  // namespace veloz::api
