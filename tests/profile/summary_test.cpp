// SPDX-License-Identifier: Apache-2.0
#include "profile/summary.h"

#include <gtest/gtest.h>

namespace veloz::profile {
namespace {

constexpr MachinePeaks kPeaks = {
    .read_bytes_per_s = 100, .fp32_ops_per_s = 1000, .bf16_ops_per_s = 2000};

OpTime linear(size_t step, std::string name, double seconds, ops::Cost cost) {
  return {.step = step,
          .op = ops::Op::linear,
          .name = std::move(name),
          .kernel = "linear/fast",
          .seconds = seconds,
          .work = {cost, Roof::bf16_dot}};
}

/// Two layers: a linear bound by memory (1 s at the roof), one by arithmetic (2 s), and an add.
PhaseTimes two_layers() {
  const OpTime add = {.step = 4,
                      .op = ops::Op::add,
                      .name = "out",
                      .kernel = "add/any",
                      .seconds = 0.5,
                      .work = {{.flops = 10, .bytes = 20}, Roof::fp32_fma}};
  return {.phase = Phase::decode(4, 16),
          .ops = {linear(0, "layers.0.qkv", 1.5, {.flops = 1000, .bytes = 100}),
                  linear(1, "layers.0.down", 5, {.flops = 4000, .bytes = 100}),
                  linear(2, "layers.1.qkv", 1.25, {.flops = 1000, .bytes = 100}),
                  linear(3, "layers.1.down", 4, {.flops = 4000, .bytes = 100}), add},
          .step_s = 13,
          .host_s = 0.75};
}

TEST(Summary, ByKernelAddsWhatOneKernelDid) {
  const PhaseSummary summary = summarize(two_layers(), kPeaks, Grouping::kernel);
  ASSERT_EQ(summary.groups.size(), 2u);
  const OpGroup& linears = summary.groups[0];
  EXPECT_EQ(linears.op, "linear");
  EXPECT_EQ(linears.kernel, "linear/fast");
  EXPECT_EQ(linears.name, "");
  EXPECT_EQ(linears.num_steps, 4);
  EXPECT_EQ(linears.seconds, 11.75);
  EXPECT_EQ(linears.cost.flops, 10000);
  EXPECT_EQ(linears.cost.bytes, 400);
  // Each step at the roof that binds it: 1 + 2 + 1 + 2.
  EXPECT_EQ(linears.roof_s, 6);
  EXPECT_EQ(linears.roof, Roof::bf16_dot);  // for 4 of the 6 seconds
  EXPECT_DOUBLE_EQ(linears.share_of_roof(), 6 / 11.75);
  EXPECT_DOUBLE_EQ(linears.gb_per_s(), 400 / 11.75 * 1e-9);
}

TEST(Summary, LossIsTimeAboveTheRoofPerTokenOfTheBatch) {
  const PhaseSummary summary = summarize(two_layers(), kPeaks, Grouping::kernel);
  EXPECT_DOUBLE_EQ(summary.lost_ms_per_token(summary.groups[0]), 5.75 * 1000 / 4);
  EXPECT_DOUBLE_EQ(summary.tokens_per_s(), 4.0 / 13);
  EXPECT_DOUBLE_EQ(summary.share_of_roof(), (6 + 0.2) / 13);
  EXPECT_EQ(summary.all.num_steps, 5);
  EXPECT_EQ(summary.all.seconds, 12.25);
}

TEST(Summary, ByNameTakesLayersTogetherAndPutsTheBiggestGapFirst) {
  const PhaseSummary summary = summarize(two_layers(), kPeaks, Grouping::name);
  ASSERT_EQ(summary.groups.size(), 3u);
  EXPECT_EQ(summary.groups[0].name, "layers.*.down");
  EXPECT_EQ(summary.groups[0].lost_s(), 5);
  EXPECT_EQ(summary.groups[1].name, "layers.*.qkv");
  EXPECT_EQ(summary.groups[1].roof, Roof::dram_read);
  EXPECT_EQ(summary.groups[2].name, "out");
}

TEST(Summary, ByStepKeepsEveryStepEvenOfOneName) {
  PhaseTimes times = two_layers();
  times.ops[2].name = "layers.0.qkv";
  EXPECT_EQ(summarize(times, kPeaks, Grouping::step).groups.size(), 5u);
}

TEST(Summary, FasterThanTheRoofLosesNothing) {
  PhaseTimes times = two_layers();
  for (OpTime& op : times.ops) op.seconds = 0.01;
  const PhaseSummary summary = summarize(times, kPeaks, Grouping::kernel);
  EXPECT_EQ(summary.groups[0].lost_s(), 0);
  EXPECT_GT(summary.groups[0].share_of_roof(), 1);
}

TEST(Summary, OfNothingIsZero) {
  const PhaseSummary summary =
      summarize({.phase = Phase::decode(1, 1), .ops = {}}, kPeaks, Grouping::kernel);
  EXPECT_TRUE(summary.groups.empty());
  EXPECT_EQ(summary.share_of_roof(), 0);
  EXPECT_EQ(summary.all.gb_per_s(), 0);
}

TEST(NameInAllLayers, ReplacesNumbersThatStandAlone) {
  EXPECT_EQ(name_in_all_layers("layers.12.attn.qkv"), "layers.*.attn.qkv");
  EXPECT_EQ(name_in_all_layers("kv.0.appended"), "kv.*.appended");
  EXPECT_EQ(name_in_all_layers("h2.x"), "h2.x");
  EXPECT_EQ(name_in_all_layers("logits"), "logits");
  EXPECT_EQ(name_in_all_layers("7"), "*");
  EXPECT_EQ(name_in_all_layers("a."), "a.");
  EXPECT_EQ(name_in_all_layers(""), "");
}

}  // namespace
}  // namespace veloz::profile
