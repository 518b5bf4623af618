// SPDX-License-Identifier: Apache-2.0
#include "serving/scheduler.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace veloz::serving {
namespace {

constexpr SchedulerLimits kLimits = {.max_num_seqs = 4,
                                     .max_num_batched_tokens = 10,
                                     .max_model_len = 64,
                                     .block_size = 4,
                                     .num_kv_blocks = 32,
                                     .max_prefill_chunk = 10};

void submit(Scheduler& scheduler, uint64_t id, int64_t prompt_tokens, int64_t max_tokens = 8,
            int64_t width = 1) {
  scheduler.submit({.id = RequestId{id},
                    .prompt_tokens = std::vector<int32_t>(static_cast<size_t>(prompt_tokens), 5),
                    .demand = {prompt_tokens, max_tokens, width},
                    .prompt_rows = width});
}

/// Schedules a step, takes it as run and gives every deciding group's sequences the token 1.
Step run_step(Scheduler& scheduler) {
  Step step = scheduler.schedule();
  scheduler.complete(step);
  for (const GroupRows& rows : step.rows) {
    std::vector<Child> children;
    const bool is_fork = rows.group->sequences.size() == 1;
    for (int64_t i = 0; i < rows.group->width; ++i) children.push_back({is_fork ? 0 : i, 1});
    scheduler.advance(*rows.group, children);
  }
  scheduler.check_invariants();
  return step;
}

TEST(Scheduler, HasNothingToDoWithoutRequests) {
  Scheduler scheduler(kLimits);
  EXPECT_TRUE(scheduler.schedule().is_empty());
}

TEST(Scheduler, CutsAPromptIntoChunksOfTheBudget) {
  Scheduler scheduler(kLimits);
  submit(scheduler, 1, 23);
  const Step first = run_step(scheduler);
  EXPECT_EQ(first.batch.num_tokens(), 10);
  EXPECT_TRUE(first.batch.logit_rows.empty());
  EXPECT_EQ(run_step(scheduler).batch.num_tokens(), 10);
  const Step last = run_step(scheduler);
  EXPECT_EQ(last.batch.positions, (std::vector<int32_t>{20, 21, 22}));
  EXPECT_EQ(last.batch.kv_lens, (std::vector<int32_t>{23}));
  EXPECT_EQ(last.batch.logit_rows, (std::vector<int32_t>{2}));
}

TEST(Scheduler, KeepsChunksBelowTheirOwnLimit) {
  SchedulerLimits limits = kLimits;
  limits.max_prefill_chunk = 4;
  Scheduler scheduler(limits);
  submit(scheduler, 1, 9);
  submit(scheduler, 2, 9);
  EXPECT_EQ(run_step(scheduler).batch.q_lens, (std::vector<int32_t>{4, 4}));
}

TEST(Scheduler, DecodesFirstAndGivesPromptsTheRest) {
  Scheduler scheduler(kLimits);
  submit(scheduler, 1, 3);
  run_step(scheduler);
  submit(scheduler, 2, 30);
  const Step step = run_step(scheduler);
  EXPECT_EQ(step.batch.q_lens, (std::vector<int32_t>{1, 9}));
  EXPECT_EQ(step.batch.positions.front(), 3);
  EXPECT_EQ(step.rows.size(), 1u);
}

TEST(Scheduler, SharesAStepAmongPromptsInOrderOfArrival) {
  Scheduler scheduler(kLimits, {.enable_prefix_caching = false});
  submit(scheduler, 1, 6);
  submit(scheduler, 2, 6);
  EXPECT_EQ(run_step(scheduler).batch.q_lens, (std::vector<int32_t>{6, 4}));
  EXPECT_EQ(run_step(scheduler).batch.q_lens, (std::vector<int32_t>{1, 2}));
}

TEST(Scheduler, StartsNothingBeyondMaxNumSeqs) {
  Scheduler scheduler(kLimits);
  submit(scheduler, 1, 2, 8, 3);
  submit(scheduler, 2, 2, 8, 2);  // 3 + 2 > 4
  submit(scheduler, 3, 2, 8, 1);  // would fit, but came later
  run_step(scheduler);
  EXPECT_EQ(scheduler.num_running(), 1);
  EXPECT_EQ(scheduler.num_waiting(), 2);
  scheduler.remove(RequestId{1});
  run_step(scheduler);
  EXPECT_EQ(scheduler.num_running(), 2);
}

TEST(Scheduler, ReservesAllBlocksARequestMayEverNeed) {
  Scheduler scheduler(kLimits);
  submit(scheduler, 1, 8, 53);  // positions 0..59: 15 blocks
  submit(scheduler, 2, 8, 53);
  submit(scheduler, 3, 8, 5);  // 3 blocks: 33 of 32
  run_step(scheduler);
  EXPECT_EQ(scheduler.num_running(), 2);
  EXPECT_LT(scheduler.pool().num_held(), 15);
  for (int i = 0; i < 52; ++i) run_step(scheduler);
  EXPECT_EQ(scheduler.num_waiting(), 1);
}

TEST(Scheduler, CountsSharedPromptBlocksOnce) {
  EXPECT_EQ(num_blocks_needed({.num_prompt_tokens = 8, .max_tokens = 5, .width = 1}, 4), 3);
  EXPECT_EQ(num_blocks_needed({.num_prompt_tokens = 8, .max_tokens = 5, .width = 3}, 4), 5);
  EXPECT_EQ(num_blocks_needed({.num_prompt_tokens = 9, .max_tokens = 4, .width = 3}, 4), 5);
  EXPECT_EQ(num_blocks_needed({.num_prompt_tokens = 8, .max_tokens = 1, .width = 3}, 4), 2);
  EXPECT_EQ(num_blocks_needed({.num_prompt_tokens = 1, .max_tokens = 1, .width = 1}, 4), 1);
}

TEST(Scheduler, WantsARowPerChoiceAtThePromptsEndAndForksThere) {
  Scheduler scheduler(kLimits);
  submit(scheduler, 1, 6, 8, 3);
  EXPECT_EQ(run_step(scheduler).batch.logit_rows, (std::vector<int32_t>{5, 5, 5}));
  EXPECT_EQ(scheduler.pool().num_held(), 2);
  const Step step = run_step(scheduler);
  EXPECT_EQ(step.batch.q_lens, (std::vector<int32_t>{1, 1, 1}));
  EXPECT_EQ(step.batch.logit_rows, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(step.copies.size(), 2u);  // the third writes in place
  EXPECT_EQ(scheduler.pool().num_held(), 4);
}

TEST(Scheduler, PadsBlockTablesWithZero) {
  Scheduler scheduler(kLimits);
  submit(scheduler, 1, 2);
  submit(scheduler, 2, 8);
  const Step step = run_step(scheduler);
  EXPECT_EQ(step.batch.blocks_per_seq, 2);
  ASSERT_EQ(step.batch.block_tables.size(), 4u);
  EXPECT_EQ(step.batch.block_tables[1], 0);
  EXPECT_EQ(step.batch.slots[2], step.batch.block_tables[2] * 4);
}

TEST(Scheduler, SequencesWithoutAChildGiveTheirBlocksBack) {
  Scheduler scheduler(kLimits);
  submit(scheduler, 1, 4, 8, 3);
  run_step(scheduler);
  Step step = run_step(scheduler);
  EXPECT_EQ(scheduler.pool().num_held(), 4);  // one of the prompt, one each
  step = scheduler.schedule();
  scheduler.complete(step);
  const std::vector<Child> children = {{2, 7}, {2, 8}};
  scheduler.advance(*step.rows[0].group, children);
  scheduler.check_invariants();
  EXPECT_EQ(scheduler.pool().num_held(), 2);
  EXPECT_EQ(step.rows[0].group->sequences[1].tokens.back(), 8);
}

TEST(Scheduler, NoChildrenEndTheGroup) {
  Scheduler scheduler(kLimits);
  submit(scheduler, 1, 4);
  const Step step = scheduler.schedule();
  scheduler.complete(step);
  scheduler.advance(*step.rows[0].group, {});
  scheduler.check_invariants();
  EXPECT_EQ(scheduler.num_running(), 0);
  EXPECT_EQ(scheduler.pool().num_held(), 0);
}

TEST(Scheduler, RemovesWaitingAndRunningRequests) {
  Scheduler scheduler(kLimits);
  submit(scheduler, 1, 20);
  run_step(scheduler);
  submit(scheduler, 2, 20);
  scheduler.remove(RequestId{2});
  scheduler.remove(RequestId{1});
  scheduler.remove(RequestId{3});  // nobody
  scheduler.check_invariants();
  EXPECT_TRUE(scheduler.schedule().is_empty());
  EXPECT_EQ(scheduler.pool().num_held(), 0);
}

TEST(Scheduler, TheSameRequestsGiveTheSameSteps) {
  const auto steps = [] {
    Scheduler scheduler(kLimits);
    submit(scheduler, 1, 13, 8, 2);
    submit(scheduler, 2, 7);
    std::vector<int64_t> slots;
    for (int i = 0; i < 6; ++i)
      for (const int64_t slot : run_step(scheduler).batch.slots) slots.push_back(slot);
    return slots;
  };
  EXPECT_EQ(steps(), steps());
}

TEST(Scheduler, RefusesImpossibleLimits) {
  SchedulerLimits limits = kLimits;
  limits.max_num_batched_tokens = 3;  // a step could not decode all sequences
  EXPECT_THROW(Scheduler{limits}, Error);
}

}  // namespace
}  // namespace veloz::serving
