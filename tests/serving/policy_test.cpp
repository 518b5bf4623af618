// SPDX-License-Identifier: Apache-2.0
// Who runs when: policies, priorities, deadlines, prefixes and steps ahead, one rule at a time.
#include <gtest/gtest.h>

#include <vector>

#include "serving/scheduler.h"

namespace veloz::serving {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SchedulerLimits kPolicyLimits = {.max_num_seqs = 4,
                                           .max_num_batched_tokens = 16,
                                           .max_model_len = 64,
                                           .block_size = 4,
                                           .num_kv_blocks = 8,
                                           .max_prefill_chunk = 16};
constexpr SchedulerOptions kUtilization = {.policy = SchedulingPolicy::max_utilization,
                                           .enable_prefix_caching = false};
const TimePoint kStart{};

Submission request(uint64_t id, int64_t prompt_tokens, int64_t max_tokens, int64_t width = 1) {
  Submission submission;
  submission.id = RequestId{id};
  for (int64_t i = 0; i < prompt_tokens; ++i)
    submission.prompt_tokens.push_back(static_cast<int32_t>(i));
  submission.demand = {prompt_tokens, max_tokens, width};
  submission.prompt_rows = width;
  submission.arrival = kStart;
  return submission;
}

/// Takes a step as run; all its deciding sequences go on with token 1, and fork at the prompt's
/// end.
void finish(Scheduler& scheduler, const Step& step) {
  scheduler.complete(step);
  for (const GroupRows& rows : step.rows) {
    if (!rows.is_deciding() || rows.group->has_ended) continue;
    SequenceGroup& group = *rows.group;
    std::vector<Child> children;
    if (group.sequences.front().num_known() + 1 < group.num_prompt_tokens + group.max_tokens)
      for (int64_t i = 0; i < group.width; ++i)
        children.push_back({group.sequences.size() == 1 ? 0 : i, 1});
    scheduler.advance(group, children);
  }
  scheduler.check_invariants();
}

Step step_through(Scheduler& scheduler) {
  Step step = scheduler.schedule();
  finish(scheduler, step);
  return step;
}

std::vector<uint64_t> ids_of(const Step& step) {
  std::vector<uint64_t> ids;
  for (const auto& group : step.groups) ids.push_back(static_cast<uint64_t>(group->id));
  return ids;
}

using Ids = std::vector<uint64_t>;

TEST(MaxUtilization, BeginsARequestWhenItsPromptFits) {
  Scheduler reserving(kPolicyLimits, {.enable_prefix_caching = false});
  Scheduler utilizing(kPolicyLimits, kUtilization);
  for (Scheduler* scheduler : {&reserving, &utilizing}) {
    scheduler->submit(request(1, 4, 25));  // 7 blocks in the end
    scheduler->submit(request(2, 4, 25));
    step_through(*scheduler);
  }
  EXPECT_EQ(reserving.num_running(), 1);
  EXPECT_EQ(utilizing.num_running(), 2);
}

TEST(MaxUtilization, PausesTheLastArrivedWhenBlocksRunOutAndResumesItLater) {
  Scheduler scheduler(kPolicyLimits, kUtilization);
  scheduler.submit(request(1, 4, 25));
  scheduler.submit(request(2, 4, 25));
  while (scheduler.counts().num_preemptions == 0) step_through(scheduler);
  EXPECT_EQ(scheduler.num_running(), 1);
  EXPECT_EQ(static_cast<uint64_t>(scheduler.running()[0]->id), 1u);
  while (scheduler.num_running() == 1 && scheduler.num_waiting() == 1) step_through(scheduler);
  const Step resumed = scheduler.schedule();
  EXPECT_EQ(ids_of(resumed), Ids{2});
  EXPECT_EQ(resumed.groups[0]->num_preemptions, 1);
}

TEST(MaxUtilization, AResumedRequestComputesWhatItHadAgainAndGoesOn) {
  Scheduler scheduler(kPolicyLimits, kUtilization);
  scheduler.submit(request(1, 4, 25));
  scheduler.submit(request(2, 5, 20));
  while (scheduler.num_running() + scheduler.num_waiting() == 2) step_through(scheduler);
  const Step first = scheduler.schedule();  // of request 2, alone
  ASSERT_GT(first.batch.num_tokens(), 5);
  EXPECT_EQ(first.batch.positions.front(), 0);
  finish(scheduler, first);
  while (scheduler.num_running() > 0) step_through(scheduler);
  EXPECT_EQ(scheduler.pool().num_held(), 0);
}

TEST(MaxUtilization, ChoicesThatResumeShareTheirPromptAgain) {
  SchedulerLimits limits = kPolicyLimits;
  limits.num_kv_blocks = 12;
  limits.max_num_batched_tokens = 64;
  limits.max_prefill_chunk = 64;
  Scheduler scheduler(limits, kUtilization);
  scheduler.submit(request(1, 4, 40));
  scheduler.submit(request(2, 12, 10, 2));
  while (scheduler.counts().num_preemptions == 0) step_through(scheduler);
  scheduler.remove(RequestId{1});
  EXPECT_EQ(step_through(scheduler).batch.num_seqs(), 1);  // the first computes what both share
  const std::shared_ptr<SequenceGroup> group = scheduler.running()[0];
  EXPECT_GE(group->num_shared_tokens, 12);
  const Step step = scheduler.schedule();
  ASSERT_EQ(group->sequences.size(), 2u);
  for (int64_t i = 0; i < 3; ++i)
    EXPECT_EQ(group->sequences[0].table.block(i), group->sequences[1].table.block(i));
  finish(scheduler, step);
  while (scheduler.num_running() > 0) step_through(scheduler);
}

TEST(MaxUtilization, OneRequestThatFillsTheCacheFinishesWhateverArrives) {
  Scheduler scheduler(kPolicyLimits, kUtilization);
  scheduler.submit(request(1, 8, 25));  // 32 positions: all blocks
  uint64_t next = 2;
  for (int round = 0; round < 25; ++round) {
    scheduler.submit(request(next++, 3, 25));
    step_through(scheduler);
  }
  for (const auto& group : scheduler.running()) EXPECT_NE(static_cast<uint64_t>(group->id), 1u);
}

TEST(Priority, LowerRunsFirst) {
  SchedulerLimits limits = kPolicyLimits;
  limits.max_num_seqs = 1;
  Scheduler scheduler(limits);
  scheduler.submit(request(1, 2, 3));
  step_through(scheduler);
  Submission ordinary = request(2, 2, 3);
  Submission urgent = request(3, 2, 3);
  urgent.priority = -1;
  scheduler.submit(std::move(ordinary));
  scheduler.submit(std::move(urgent));
  for (int i = 0; i < 2; ++i) step_through(scheduler);
  EXPECT_EQ(ids_of(scheduler.schedule()), Ids{3});
}

TEST(Priority, ALevelIsWorthSomeWaiting) {
  SchedulerLimits limits = kPolicyLimits;
  limits.max_num_seqs = 1;
  Scheduler scheduler(limits, {.priority_step = milliseconds(1000)});
  Submission patient = request(1, 2, 3);
  patient.priority = 2;
  scheduler.submit(std::move(patient));
  Submission newcomer = request(2, 2, 3);
  newcomer.arrival = kStart + milliseconds(2001);
  scheduler.submit(std::move(newcomer));
  EXPECT_EQ(ids_of(scheduler.schedule()), Ids{1});
}

TEST(Priority, AStreamOfUrgentRequestsStarvesNobody) {
  SchedulerLimits limits = kPolicyLimits;
  limits.max_num_seqs = 1;
  Scheduler scheduler(limits, {.priority_step = milliseconds(100)});
  Submission patient = request(1, 2, 2);
  patient.priority = kMaxPriority + 5;  // no less urgent than the limit
  scheduler.submit(std::move(patient));
  TimePoint now = kStart;
  uint64_t next = 2;
  bool has_run = false;
  for (; !has_run && next < 400; now += milliseconds(100)) {
    Submission urgent = request(next++, 2, 2);
    urgent.arrival = now;
    scheduler.submit(std::move(urgent));
    for (int i = 0; i < 2; ++i) {
      const Step step = step_through(scheduler);
      has_run = has_run || ids_of(step) == Ids{1};
    }
  }
  EXPECT_TRUE(has_run);
  EXPECT_GT(next, 50u);
}

TEST(Priority, AStreamOfUrgentRequestsThatPausesARequestDoesNotStarveIt) {
  SchedulerLimits limits = kPolicyLimits;
  limits.max_num_seqs = 2;
  Scheduler scheduler(limits, {.policy = SchedulingPolicy::max_utilization,
                               .enable_prefix_caching = false,
                               .priority_step = milliseconds(100)});
  Submission patient = request(1, 4, 25);  // 7 of 8 blocks in the end
  patient.priority = kMaxPriority;
  scheduler.submit(std::move(patient));
  const std::shared_ptr<SequenceGroup> group = step_through(scheduler).groups.at(0);
  TimePoint now = kStart;
  uint64_t next = 2;
  for (; !group->has_ended && next < 400; now += milliseconds(100)) {
    Submission urgent = request(next++, 4, 9);
    urgent.arrival = now;
    scheduler.submit(std::move(urgent));
    for (int i = 0; i < 4; ++i) step_through(scheduler);  // fewer than would serve all who come
  }
  EXPECT_TRUE(group->has_ended);
  EXPECT_GE(group->num_preemptions, 1);
  EXPECT_GT(next, 50u);
}

TEST(Priority, TheLeastUrgentIsPausedNotTheLastArrived) {
  Scheduler scheduler(kPolicyLimits, kUtilization);
  Submission relaxed = request(1, 4, 25);
  relaxed.priority = 1;
  scheduler.submit(std::move(relaxed));
  step_through(scheduler);
  scheduler.submit(request(2, 4, 25));
  while (scheduler.counts().num_preemptions == 0) step_through(scheduler);
  EXPECT_EQ(static_cast<uint64_t>(scheduler.running()[0]->id), 2u);
}

TEST(Deadline, EndsWaitingAndRunningRequests) {
  SchedulerLimits limits = kPolicyLimits;
  limits.max_num_seqs = 1;
  Scheduler scheduler(limits);
  for (const uint64_t id : {1u, 2u, 3u}) {
    Submission submission = request(id, 2, 8);
    if (id != 3) submission.deadline = kStart + seconds(id);
    scheduler.submit(std::move(submission));
  }
  step_through(scheduler);
  EXPECT_TRUE(scheduler.remove_expired(kStart + milliseconds(999)).empty());
  EXPECT_EQ(scheduler.remove_expired(kStart + seconds(5)),
            (std::vector<RequestId>{RequestId{1}, RequestId{2}}));
  EXPECT_EQ(scheduler.pool().num_held(), 0);
  EXPECT_EQ(ids_of(scheduler.schedule()), Ids{3});
}

TEST(PrefixReuse, APromptBeginsBehindWhatIsCached) {
  Scheduler scheduler(kPolicyLimits);
  scheduler.submit(request(1, 11, 1));
  step_through(scheduler);
  scheduler.submit(request(2, 11, 1));
  const Step step = scheduler.schedule();
  EXPECT_EQ(step.batch.positions, (std::vector<int32_t>{8, 9, 10}));
  EXPECT_EQ(step.groups[0]->num_cached_tokens, 8);
  EXPECT_EQ(scheduler.counts().num_prefix_queries, 22);
  EXPECT_EQ(scheduler.counts().num_prefix_hits, 8);
}

TEST(PrefixReuse, TheLastPromptTokenIsAlwaysComputed) {
  Scheduler scheduler(kPolicyLimits);
  scheduler.submit(request(1, 8, 1));
  step_through(scheduler);
  scheduler.submit(request(2, 8, 1));
  EXPECT_EQ(scheduler.schedule().batch.positions, (std::vector<int32_t>{4, 5, 6, 7}));
}

TEST(PrefixReuse, SaltsKeepApartAndSwitchedOffNothingIsFound) {
  Scheduler salted(kPolicyLimits);
  Scheduler off(kPolicyLimits, {.enable_prefix_caching = false});
  for (Scheduler* scheduler : {&salted, &off}) {
    scheduler->submit(request(1, 11, 1));
    step_through(*scheduler);
  }
  Submission other = request(2, 11, 1);
  other.cache_salt = "tenant";
  salted.submit(std::move(other));
  off.submit(request(2, 11, 1));
  EXPECT_EQ(salted.schedule().batch.num_tokens(), 11);
  EXPECT_EQ(off.schedule().batch.num_tokens(), 11);
}

TEST(PrefixReuse, WhoWantsPromptLogitsComputesEveryToken) {
  Scheduler scheduler(kPolicyLimits);
  scheduler.submit(request(1, 4, 1));
  step_through(scheduler);
  Submission wants = request(2, 4, 1);
  wants.wants_prompt_logits = true;
  scheduler.submit(std::move(wants));
  const Step step = scheduler.schedule();
  EXPECT_EQ(step.batch.logit_rows, (std::vector<int32_t>{0, 1, 2, 3}));
  ASSERT_EQ(step.rows.size(), 2u);
  EXPECT_EQ(step.rows[0].first_prompt_token, 0);
  EXPECT_EQ(step.rows[0].num_rows, 3);
  EXPECT_TRUE(step.rows[1].is_deciding());
}

TEST(RunAhead, FeedsTheTokenThatTheStepInFlightDecides) {
  Scheduler scheduler(kPolicyLimits);
  scheduler.submit(request(1, 3, 8));
  const Step first = scheduler.schedule();
  const Step second = scheduler.schedule();
  ASSERT_EQ(second.batch.feeds.size(), 1u);
  EXPECT_EQ(second.batch.feeds[0].row, 0);
  EXPECT_EQ(second.batch.positions, (std::vector<int32_t>{3}));
  EXPECT_TRUE(scheduler.schedule().is_empty());  // two in flight are enough
  finish(scheduler, first);
  finish(scheduler, second);
  EXPECT_EQ(scheduler.running()[0]->sequences[0].num_known(), 5);
}

TEST(RunAhead, NeverComputesTheLastToken) {
  Scheduler scheduler(kPolicyLimits);
  scheduler.submit(request(1, 3, 1));
  const Step only = scheduler.schedule();
  EXPECT_TRUE(scheduler.schedule().is_empty());
  finish(scheduler, only);
  EXPECT_EQ(scheduler.num_running(), 0);
}

TEST(RunAhead, ASurplusStepIsDroppedWithItsBlocks) {
  Scheduler scheduler(kPolicyLimits);
  scheduler.submit(request(1, 4, 8));
  const Step first = scheduler.schedule();
  const Step surplus = scheduler.schedule();
  scheduler.complete(first);
  scheduler.advance(*first.rows[0].group, {});  // an end token
  EXPECT_EQ(scheduler.pool().num_held(), 0);
  finish(scheduler, surplus);
  EXPECT_EQ(scheduler.num_running(), 0);
}

TEST(RunAhead, WaitsForChoicesToFork) {
  Scheduler scheduler(kPolicyLimits);
  scheduler.submit(request(1, 3, 8, 2));
  const Step first = scheduler.schedule();
  EXPECT_TRUE(scheduler.schedule().is_empty());
  finish(scheduler, first);
  EXPECT_EQ(scheduler.schedule().batch.num_seqs(), 2);
}

TEST(RunAhead, NobodyIsPausedWhileAStepIsInFlight) {
  Scheduler scheduler(kPolicyLimits, kUtilization);
  scheduler.submit(request(1, 4, 25));
  scheduler.submit(request(2, 4, 25));
  Step in_flight = scheduler.schedule();
  while (scheduler.counts().num_preemptions == 0) {
    Step ahead = scheduler.schedule();
    const bool is_short = ahead.is_empty() || ahead.groups.size() < 2;
    EXPECT_EQ(scheduler.counts().num_preemptions, 0);
    finish(scheduler, in_flight);
    if (is_short && ahead.is_empty()) ahead = scheduler.schedule();
    in_flight = std::move(ahead);
    ASSERT_FALSE(in_flight.is_empty());
  }
  EXPECT_EQ(ids_of(in_flight), Ids{1});
}

TEST(TargetStep, CutsPromptsSoThatAStepTakesNoLonger) {
  SchedulerLimits limits = kPolicyLimits;
  limits.max_num_batched_tokens = limits.max_prefill_chunk = 64;
  limits.num_kv_blocks = 64;
  const CostCoefficients costs = {
      .step_s = 0.01, .token_s = 0.001, .row_s = 0, .attended_s = 0, .kv_read_s = 0};
  Scheduler scheduler(limits, {.target_step_s = 0.035, .costs = costs});
  scheduler.submit(request(1, 50, 4));
  const Step first = step_through(scheduler);
  EXPECT_EQ(first.batch.num_tokens(), 25);
  EXPECT_NEAR(first.predicted_s, 0.035, 1e-9);
}

TEST(TargetStep, CountsTheLogitsOfPromptsThatEnd) {
  SchedulerLimits limits = kPolicyLimits;
  limits.max_num_seqs = limits.max_num_batched_tokens = 64;
  limits.num_kv_blocks = 64;
  const CostCoefficients costs = {
      .step_s = 0.01, .token_s = 0.001, .row_s = 0.002, .attended_s = 0, .kv_read_s = 0};
  Scheduler scheduler(limits,
                      {.enable_prefix_caching = false, .target_step_s = 0.032, .costs = costs});
  for (uint64_t id = 1; id <= 5; ++id) scheduler.submit(request(id, 4, 1));
  const Step step = step_through(scheduler);
  EXPECT_EQ(step.batch.q_lens, (std::vector<int32_t>{4, 4, 4, 3}));  // the fourth ends no more
  EXPECT_NEAR(step.predicted_s, 0.031, 1e-9);
}

TEST(TargetStep, ARequestForWhoseFirstLogitsThereIsNoTimeWaits) {
  const CostCoefficients costs = {.step_s = 0.01, .token_s = 0.001, .row_s = 0.002};
  Scheduler scheduler(kPolicyLimits, {.target_step_s = 0.02, .costs = costs});
  scheduler.submit(request(1, 5, 4));
  scheduler.submit(request(2, 1, 4, 3));  // would take 7 ms, 3 ms are left
  EXPECT_EQ(ids_of(step_through(scheduler)), Ids{1});
  EXPECT_EQ(scheduler.num_waiting(), 1);
}

TEST(TargetStep, CountsTheLogitsOfPromptTokens) {
  SchedulerLimits limits = kPolicyLimits;
  limits.max_num_batched_tokens = limits.max_prefill_chunk = limits.max_logit_rows = 64;
  limits.num_kv_blocks = 64;
  const CostCoefficients costs = {
      .step_s = 0.01, .token_s = 0.0005, .row_s = 0.0005, .attended_s = 0, .kv_read_s = 0};
  Scheduler scheduler(limits, {.target_step_s = 0.0305, .costs = costs});
  Submission scored = request(1, 50, 4);
  scored.wants_prompt_logits = true;
  scheduler.submit(std::move(scored));
  const Step step = step_through(scheduler);
  EXPECT_EQ(step.batch.q_lens, (std::vector<int32_t>{20}));
  EXPECT_NEAR(step.predicted_s, 0.03, 1e-9);
}

TEST(TargetStep, AStepOverItsTargetStillMovesAPromptOn) {
  const CostCoefficients costs = {.step_s = 1};
  Scheduler scheduler(kPolicyLimits, {.target_step_s = 0.1, .costs = costs});
  scheduler.submit(request(1, 20, 4));
  scheduler.submit(request(2, 20, 4));
  EXPECT_EQ(step_through(scheduler).batch.q_lens, (std::vector<int32_t>{16}));
}

}  // namespace
}  // namespace veloz::serving
