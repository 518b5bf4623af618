// SPDX-License-Identifier: Apache-2.0
#include "profile/speed.h"

#include <gtest/gtest.h>

#include "support/tiny_engine.h"

namespace veloz::profile {
namespace {

constexpr MachinePeaks kMachine = {.read_bytes_per_s = 5e10,
                                   .fp32_ops_per_s = 2e11,
                                   .bf16_ops_per_s = 4e11,
                                   .int8_ops_per_s = 8e11};

CallCost product(double rows, Roof arithmetic, double weight_bytes_per_element) {
  const double n = 4096, k = 4096;
  return {.cost = {.flops = 2 * rows * n * k, .bytes = n * k * weight_bytes_per_element},
          .arithmetic = arithmetic,
          .op = ops::Op::linear};
}

TEST(PredictCall, OneRowTakesAsLongAsItsWeightsTakeToRead) {
  const double bf16 = predict_call_s(product(1, Roof::bf16_dot, 2), kMachine);
  const double int8 = predict_call_s(product(1, Roof::int8_dot, 1), kMachine);
  EXPECT_NEAR(bf16, 4096.0 * 4096 * 2 / 5e10, 0.15 * bf16);
  EXPECT_NEAR(int8 * 2, bf16, 0.05 * bf16);
}

TEST(PredictCall, ManyRowsTakeAsLongAsTheirProducts) {
  const double seconds = predict_call_s(product(512, Roof::bf16_dot, 2), kMachine);
  EXPECT_NEAR(seconds, 2 * 512 * 4096.0 * 4096 / 4e11, 0.15 * seconds);
}

TEST(PredictCall, IsNeverFasterThanTheRoof) {
  for (const double rows : {1, 3, 4, 5, 16, 17, 64, 65, 1000}) {
    const CallCost work = product(rows, Roof::bf16_dot, 2);
    EXPECT_GT(predict_call_s(work, kMachine),
              bound_of(work.cost, work.arithmetic, kMachine).seconds);
  }
}

TEST(PredictCall, ReadingAndComputingHideEachOtherInPart) {
  // As long to read as to compute: 16.8 million weights of 2 bytes at 50 GB/s, 8 rows at 400
  // GFLOP/s.
  const double seconds = predict_call_s(product(8, Roof::bf16_dot, 2), kMachine);
  const double reading = predict_call_s(product(0, Roof::bf16_dot, 2), kMachine);
  EXPECT_GT(seconds, 1.15 * reading);
  EXPECT_LT(seconds, 1.4 * reading);
}

TEST(PredictCall, WeightsThatAreConvertedTakeLongerToMultiply) {
  CallCost work = product(512, Roof::int8_dot, 0.5);
  const double as_they_are = predict_call_s(work, kMachine);
  work.converts_weights = true;
  EXPECT_GT(predict_call_s(work, kMachine), 1.1 * as_they_are);
  EXPECT_LT(predict_call_s(work, kMachine), 1.2 * as_they_are);
}

TEST(PredictCall, WhatTheMachineMustWidenReachesLessOfItsRoof) {
  const CallCost work = product(512, Roof::bf16_dot, 2);
  MachinePeaks without = kMachine;
  without.bf16_ops_per_s = 0;
  const double roof_s = bound_of(work.cost, work.arithmetic, without).seconds;
  EXPECT_GT(predict_call_s(work, without), 1.25 * roof_s);
  EXPECT_LT(predict_call_s(work, without), 1.5 * roof_s);
}

TEST(PredictCall, AnIntegerRateNearFp32TellsThatCodesAreWidened) {
  const CallCost work = product(512, Roof::int8_dot, 1);
  MachinePeaks pairs = kMachine;
  pairs.int8_ops_per_s = 2 * pairs.fp32_ops_per_s;
  const auto share = [&](const MachinePeaks& peaks) {
    return bound_of(work.cost, work.arithmetic, peaks).seconds / predict_call_s(work, peaks);
  };
  EXPECT_LT(share(pairs), 0.9 * share(kMachine));
}

TEST(PredictSpeed, MoreTokensNeverTakeLessTime) {
  const engine::Plan plan = test::tiny_model().plan;
  double last_s = 0;
  for (int64_t tokens = 1; tokens <= 16; ++tokens) {
    const SpeedPrediction speed = predict_speed(plan, Phase::prefill(tokens), kMachine);
    EXPECT_GE(speed.step_s, last_s) << tokens;
    EXPECT_DOUBLE_EQ(speed.tokens_per_s(), static_cast<double>(tokens) / speed.step_s);
    last_s = speed.step_s;
  }
}

TEST(PredictSpeed, ALongerContextTakesLonger) {
  const engine::Plan plan = test::tiny_model().plan;
  EXPECT_GT(predict_speed(plan, Phase::decode(4, 31), kMachine).step_s,
            predict_speed(plan, Phase::decode(4, 1), kMachine).step_s);
}

}  // namespace
}  // namespace veloz::profile
