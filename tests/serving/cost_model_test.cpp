// SPDX-License-Identifier: Apache-2.0
#include "serving/cost_model.h"

#include <gtest/gtest.h>

#include "serving/random.h"

namespace veloz::serving {
namespace {

constexpr CostCoefficients kStartCosts = {
    .step_s = 0.01, .token_s = 0.001, .row_s = 1e-4, .attended_s = 1e-7, .kv_read_s = 1e-6};

StepWork decode(int64_t num_seqs, int64_t position) {
  StepWork work;
  for (int64_t i = 0; i < num_seqs; ++i) work.add_run(position, 1);
  work.num_rows = num_seqs;
  return work;
}

TEST(CostModel, CountsWhatEachTokenAttendsTo) {
  StepWork work;
  work.add_run(10, 3);  // 11 + 12 + 13
  EXPECT_EQ(work.num_tokens, 3);
  EXPECT_EQ(work.num_attended, 36);
  EXPECT_EQ(work.num_kv_read, 13);
}

TEST(CostModel, StartsFromItsCoefficients) {
  const CostModel model(kStartCosts);
  EXPECT_NEAR(model.predict(decode(4, 99)), 0.01 + 4 * 0.001 + 4 * 1e-4 + 400 * 1e-7 + 400 * 1e-6,
              1e-12);
}

// A machine three times slower at arithmetic and twice as fast at reading weights.
TEST(CostModel, LearnsWhatStepsReallyTake) {
  const CostModel machine({.step_s = kStartCosts.step_s / 2,
                           .token_s = kStartCosts.token_s * 3,
                           .row_s = kStartCosts.row_s,
                           .attended_s = kStartCosts.attended_s * 3,
                           .kv_read_s = kStartCosts.kv_read_s});
  CostModel model(kStartCosts);
  Random random(3);
  const auto random_work = [&] {
    StepWork work = decode(random.in(0, 16), random.in(0, 500));
    work.add_run(random.in(0, 300), random.in(1, 200));
    return work;
  };
  for (int i = 0; i < 400; ++i) {
    const StepWork work = random_work();
    model.observe(work, machine.predict(work));
  }
  for (int i = 0; i < 50; ++i) {
    const StepWork work = random_work();
    EXPECT_NEAR(model.predict(work) / machine.predict(work), 1, 0.1);
  }
}

TEST(CostModel, OneStepThatWasHeldUpMovesItLittle) {
  CostModel model(kStartCosts);
  const double before = model.predict(decode(1, 10));
  model.observe(decode(1, 10), 1000);
  EXPECT_LT(model.predict(decode(1, 10)), before * 1.26);
}

TEST(CostModel, StaysWithinItsBounds) {
  CostModel slow(kStartCosts);
  CostModel fast(kStartCosts);
  const double start = slow.predict(decode(1, 10));
  for (int i = 0; i < 10'000; ++i) {
    slow.observe(decode(1, 10), 1e9);
    fast.observe(decode(1, 10), 1e-9);
  }
  EXPECT_LE(slow.predict(decode(1, 10)), start * CostModel::kMaxFactor * 1.001);
  EXPECT_GE(fast.predict(decode(1, 10)), start / CostModel::kMaxFactor * 0.999);
}

TEST(CostModel, FindsTheLongestChunkThatFits) {
  const CostModel model(kStartCosts);
  const StepWork before = decode(3, 50);
  for (const double target : {0.0, 0.012, 0.05, 0.2, 10.0}) {
    const auto work_with = [&](int64_t n) {
      StepWork work = before;
      work.add_run(20, n);
      return work;
    };
    const int64_t count = model.fitting_chunk(500, target, work_with);
    EXPECT_TRUE(count == 0 || model.predict(work_with(count)) <= target);
    EXPECT_TRUE(count == 500 || model.predict(work_with(count + 1)) > target);
  }
}

}  // namespace
}  // namespace veloz::serving
