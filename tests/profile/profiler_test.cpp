// SPDX-License-Identifier: Apache-2.0
#include "profile/profiler.h"

#include <gtest/gtest.h>

#include "profile/tiny_session.h"
#include "support/expect_error.h"

namespace veloz::profile {
namespace {

constexpr MachinePeaks kRoundPeaks = {.read_bytes_per_s = 1e9, .fp32_ops_per_s = 1e9};

Profile run(TinySession& tiny, ProfileOptions options) {
  options.measure_peaks = [] { return kRoundPeaks; };
  return run_profile(tiny.session(), options, test::TinyModel::kVocab);
}

TEST(Profiler, TimesEveryStepOfEveryPhase) {
  TinySession tiny;
  const Profile profile =
      run(tiny, {.phases = {Phase::prefill(9), Phase::decode(4, 7)}, .num_repeats = 3});
  ASSERT_EQ(profile.phases.size(), 2u);
  EXPECT_EQ(profile.num_repeats, 3);
  EXPECT_EQ(profile.peaks.read_bytes_per_s, 1e9);
  for (const PhaseTimes& phase : profile.phases) {
    ASSERT_EQ(phase.ops.size(), 12u);
    double ops_s = 0;
    for (const OpTime& op : phase.ops) {
      EXPECT_GT(op.seconds, 0) << op.name;
      EXPECT_GT(op.work.cost.bytes, 0) << op.name;
      ops_s += op.seconds;
    }
    EXPECT_GT(phase.host_s, 0);
    EXPECT_GT(phase.step_s, ops_s / 2);
  }
  EXPECT_EQ(profile.phases[1].ops[3].name, "qkv");
  EXPECT_EQ(profile.phases[1].ops[3].kernel, "linear/reference");
}

TEST(Profiler, CostsAreThoseOfTheProgram) {
  TinySession tiny;
  const Phase phase = Phase::decode(2, 10);
  const Profile profile = run(tiny, {.phases = {phase}, .num_repeats = 1});
  const engine::Plan& plan = tiny.session().plan();
  const std::vector<CallCost> expected =
      cost_of_program(plan, make_batch(phase, plan.limits, 11), TinySession::kBlocks);
  for (const OpTime& op : profile.phases[0].ops) {
    EXPECT_EQ(op.work.cost.flops, expected[op.step].cost.flops) << op.name;
    EXPECT_EQ(op.work.cost.bytes, expected[op.step].cost.bytes) << op.name;
  }
}

TEST(Profiler, LeavesTheSessionWithoutAHook) {
  TinySession tiny;
  run(tiny, {.phases = {Phase::prefill(3)}, .num_repeats = 1});
  const Profile again = run(tiny, {.phases = {Phase::prefill(3)}, .num_repeats = 2});
  EXPECT_EQ(again.phases[0].ops.size(), 12u);
}

TEST(Profiler, TellsHowFarItIs) {
  TinySession tiny;
  std::vector<int64_t> seen;
  run(tiny, {.phases = {Phase::prefill(3), Phase::decode(1, 1)},
             .num_repeats = 2,
             .on_progress = [&](int64_t num_done, int64_t total) {
               EXPECT_EQ(total, 6);
               seen.push_back(num_done);
             }});
  EXPECT_EQ(seen, (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
}

TEST(Profiler, RefusesAPhaseBeforeItRunsOne) {
  TinySession tiny;
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--max-num-seqs 5"}, [&] {
    run(tiny, {.phases = {Phase::prefill(3), Phase::decode(5, 1)}, .num_repeats = 1});
  }));
}

}  // namespace
}  // namespace veloz::profile
