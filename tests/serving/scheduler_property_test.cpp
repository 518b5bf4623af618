// SPDX-License-Identifier: Apache-2.0
// Thousands of random workloads against the scheduler alone, with a made-up device that reads every
// sequence back: whatever the policy, priorities, cancellations, deadlines, prefixes, forks, broken
// steps and steps ahead, no block is lost, no limit exceeded, nobody starves, and each request ends
// exactly once.
#include <gtest/gtest.h>

#include <vector>

#include "serving/scheduler_model.h"

namespace veloz::serving {
namespace {

struct Setting {
  SchedulerLimits limits;
  SchedulerOptions options;
  bool run_ahead = false;
};

Setting random_setting(Random& random) {
  Setting setting;
  SchedulerLimits& limits = setting.limits;
  limits.max_num_seqs = random.in(3, 10);
  limits.max_num_batched_tokens = limits.max_num_seqs + random.in(0, 20);
  limits.max_model_len = 48;
  limits.block_size = random.one_of<int64_t>({1, 2, 4, 8});
  limits.num_kv_blocks = random.in(20, 90) / limits.block_size + 2;
  limits.max_prefill_chunk = random.in(1, limits.max_num_batched_tokens);
  limits.max_logit_rows = limits.max_num_seqs + random.in(0, 8);
  SchedulerOptions& options = setting.options;
  options.policy =
      random.one_of({SchedulingPolicy::guaranteed_no_evict, SchedulingPolicy::max_utilization,
                     SchedulingPolicy::max_utilization});
  options.enable_prefix_caching = !random.one_in(3);
  options.target_step_s = random.one_of({0.0, 0.0, 0.012, 0.02});
  options.costs.row_s = random.one_of({1e-4, 2e-3});
  // A round is a millisecond: some rounds of waiting make up for a level of priority.
  options.priority_step = std::chrono::milliseconds(random.in(5, 50));
  setting.run_ahead = !random.one_in(3);
  return setting;
}

Submission random_submission(uint64_t id, const SchedulerLimits& limits, TimePoint now,
                             Random& random) {
  Submission submission;
  submission.id = RequestId{id};
  Demand& demand = submission.demand;
  do {
    demand.num_prompt_tokens = random.in(1, 30);
    demand.max_tokens = random.in(1, std::min<int64_t>(18, 48 - demand.num_prompt_tokens));
    demand.width = random.one_of<int64_t>({1, 1, 2, 3});
  } while (num_blocks_needed(demand, limits.block_size) > limits.num_kv_blocks);
  // A few beginnings, so that prefixes meet.
  const auto start = static_cast<int32_t>(random.in(0, 2));
  for (int64_t i = 0; i < demand.num_prompt_tokens; ++i)
    submission.prompt_tokens.push_back(random.one_in(15) ? static_cast<int32_t>(random.in(0, 2))
                                                         : static_cast<int32_t>((start + i) % 3));
  submission.priority = random.one_of<int64_t>({0, 0, -2, 1, 1000});
  submission.cache_salt = random.one_in(5) ? "salt" : "";
  submission.wants_prompt_logits = demand.width == 1 && random.one_in(8);
  if (random.one_in(6)) submission.deadline = now + std::chrono::milliseconds(random.in(0, 60));
  return submission;
}

/// Beams want one row at the end of the prompt, choices one each.
void submit(SchedulerModel& model, Submission submission, Random& random) {
  const auto kind = submission.demand.width > 1 && random.one_in(2) ? SchedulerModel::Kind::beams
                                                                    : SchedulerModel::Kind::choices;
  submission.prompt_rows = kind == SchedulerModel::Kind::beams ? 1 : submission.demand.width;
  model.submit(std::move(submission), kind);
}

/// One workload: requests come in bursts, are cancelled and expire; steps break; what is left runs
/// to its end.
void run_workload(uint32_t seed, int64_t& num_steps_ahead, int64_t& num_preemptions,
                  int64_t& num_hits) {
  Random random(seed);
  const Setting setting = random_setting(random);
  SchedulerModel model(setting.limits, setting.options, seed);
  const int64_t num_requests = random.in(1, 20);
  const bool has_faults = random.one_in(3);
  int64_t num_submitted = 0;
  int64_t num_idle_rounds = 0;
  for (int64_t round = 0; num_submitted < num_requests || !model.open.empty(); ++round) {
    ASSERT_LT(round, 4000) << "somebody starves";
    model.now += std::chrono::milliseconds(1);
    while (num_submitted < num_requests && !random.one_in(3)) {
      submit(model,
             random_submission(static_cast<uint64_t>(++num_submitted), setting.limits, model.now,
                               random),
             random);
    }
    if (random.one_in(20))
      model.cancel(RequestId{static_cast<uint64_t>(random.in(1, num_requests))});
    model.expire();
    bool has_launched = model.launch();
    if (setting.run_ahead && model.has_in_flight() && !random.one_in(4)) model.launch();
    if (model.has_in_flight()) model.apply_oldest(has_faults && random.one_in(15));
    // A group that resumes may need a round to fork, nothing else may idle.
    num_idle_rounds = has_launched || model.open.empty() ? 0 : num_idle_rounds + 1;
    ASSERT_LE(num_idle_rounds, 2) << "there is work and nothing runs";
  }
  while (model.has_in_flight()) model.apply_oldest();
  EXPECT_EQ(model.scheduler.pool().num_held(), 0);
  EXPECT_EQ(model.scheduler.num_running() + model.scheduler.num_waiting(), 0);
  EXPECT_EQ(std::ssize(model.ended_in_step), num_requests);
  EXPECT_TRUE(setting.options.policy == SchedulingPolicy::max_utilization ||
              model.scheduler.counts().num_preemptions == 0);
  num_steps_ahead += model.num_steps_ahead;
  num_preemptions += model.scheduler.counts().num_preemptions;
  num_hits += model.scheduler.counts().num_prefix_hits;
}

TEST(SchedulerProperties, HoldUnderThousandsOfRandomWorkloads) {
  int64_t num_steps_ahead = 0;
  int64_t num_preemptions = 0;
  int64_t num_hits = 0;
  for (uint32_t seed = 0; seed < 4000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    run_workload(seed, num_steps_ahead, num_preemptions, num_hits);
    if (testing::Test::HasFatalFailure()) return;
  }
  // The workloads reach what they are made for.
  EXPECT_GT(num_steps_ahead, 10'000);
  EXPECT_GT(num_preemptions, 1'000);
  EXPECT_GT(num_hits, 10'000);
}

/// A request meets urgent ones that come without end, more than can run. Those that come when it
/// has waited for the levels between are behind it, and those before it take at most as many rounds
/// each as a request has positions, and two more to resume and to fork.
void run_urgent_stream(uint32_t seed, int64_t& num_ended_before) {
  Random random(seed);
  const Setting setting = random_setting(random);
  SchedulerModel model(setting.limits, setting.options, seed);
  const int64_t max_rounds_of_one = setting.limits.max_model_len + 2;
  uint64_t num_submitted = 0;
  const auto submit_next = [&](int64_t priority) {
    Submission submission = random_submission(++num_submitted, setting.limits, model.now, random);
    submission.priority = priority;
    submission.deadline.reset();
    submit(model, std::move(submission), random);
  };
  const int64_t num_levels = random.in(1, 5);
  const auto wait = num_levels * setting.options.priority_step;
  const TimePoint aged = model.now + wait;
  constexpr RequestId kPatient{1};
  submit_next(num_levels);
  int64_t num_before = 0;
  for (int64_t round = 0; model.open.count(kPatient) > 0; ++round) {
    ASSERT_LE(round, wait.count() + (num_before + 1) * max_rounds_of_one) << "it starves";
    model.now += std::chrono::milliseconds(1);
    while (model.scheduler.num_waiting() <= setting.limits.max_num_seqs) {
      submit_next(0);
      if (model.now <= aged) ++num_before;
    }
    model.launch();
    if (model.has_in_flight()) model.apply_oldest();
  }
  num_ended_before += std::ssize(model.ended_in_step) - 1;
}

TEST(SchedulerProperties, WhoIsLessUrgentEndsWhoeverComes) {
  int64_t num_ended_before = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    run_urgent_stream(seed, num_ended_before);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(num_ended_before, 1'000);
}

}  // namespace
}  // namespace veloz::serving
