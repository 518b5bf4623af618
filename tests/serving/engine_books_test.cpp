// SPDX-License-Identifier: Apache-2.0
#include "serving/engine_books.h"

#include <gtest/gtest.h>

namespace veloz::serving {
namespace {

constexpr SchedulerLimits kBookLimits = {.max_num_seqs = 4,
                                         .max_num_batched_tokens = 16,
                                         .max_model_len = 64,
                                         .block_size = 4,
                                         .num_kv_blocks = 32,
                                         .max_prefill_chunk = 16};

/// So many requests have been submitted: up to four of them run, the others wait.
void note_requests(EngineBooks& books, uint64_t count) {
  Scheduler scheduler(kBookLimits);
  for (uint64_t id = 1; id <= count; ++id)
    scheduler.submit({.id = RequestId{id}, .prompt_tokens = {5, 6}, .demand = {2, 8, 1}});
  scheduler.schedule();
  books.note_scheduler(scheduler);
}

TEST(EngineBooks, PredictAdmissionFromHowLongRequestsRunAndHowManyDo) {
  EngineBooks books(kBookLimits.num_kv_blocks);
  note_requests(books, 4);
  books.note_finished(8);
  EXPECT_DOUBLE_EQ(books.admission_s(), 2) << "four run 8 s each: one ends every 2 s";
  books.note_finished(28);
  EXPECT_DOUBLE_EQ(books.admission_s(), 2.5) << "the latest weighs a tenth";
  note_requests(books, 2);
  EXPECT_DOUBLE_EQ(books.admission_s(), 5);
}

TEST(EngineBooks, PredictTheSameHoweverManyWait) {
  EngineBooks books(kBookLimits.num_kv_blocks);
  note_requests(books, 40);
  ASSERT_EQ(books.stats().num_waiting, 36);
  books.note_finished(8);
  EXPECT_DOUBLE_EQ(books.admission_s(), 2);
}

TEST(EngineBooks, PredictAdmissionWithinSensibleBounds) {
  EngineBooks books(kBookLimits.num_kv_blocks);
  EXPECT_DOUBLE_EQ(books.admission_s(), 1) << "nothing has run yet";
  books.note_finished(0.001);
  EXPECT_DOUBLE_EQ(books.admission_s(), 1);
  books.note_finished(1e6);
  EXPECT_DOUBLE_EQ(books.admission_s(), 600);
}

}  // namespace
}  // namespace veloz::serving
