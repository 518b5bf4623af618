// SPDX-License-Identifier: Apache-2.0
// Random workloads: whatever runs beside a request, and however its prompt is cut, its result is
// the one it has alone; and the books are empty in the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include "serving/engine_fixture.h"
#include "serving/random.h"

namespace veloz::serving {
namespace {

struct Job {
  std::vector<int32_t> prompt;
  SamplingParams params;
  int64_t priority = 0;
  std::optional<std::chrono::microseconds> timeout{};

  Request request() const {
    Request result{.prompt_tokens = prompt, .params = params, .priority = priority};
    if (timeout) result.deadline = std::chrono::steady_clock::now() + *timeout;
    return result;
  }
};

void make_beam_search(SamplingParams& params, Random& random) {
  params.num_beams = random.in(2, 4);
  params.n = random.in(1, params.num_beams);
  params.length_penalty = random.one_of({1.0, 0.0, 2.0});
  params.early_stopping =
      random.one_of({EarlyStopping::no, EarlyStopping::yes, EarlyStopping::never});
}

void make_sampling(SamplingParams& params, Random& random) {
  params.n = random.one_of<int64_t>({1, 1, 2, 4});
  params.seed = static_cast<uint64_t>(random.in(0, 1000));
  params.temperature = random.one_of({0.0, 0.7, 1.0, 1.5});
  params.top_k = random.one_of<int64_t>({0, 0, 5});
  params.top_p = random.one_of({1.0, 0.8});
  params.min_p = random.one_of({0.0, 0.05});
  params.presence_penalty = random.one_of({0.0, 0.5});
  params.frequency_penalty = random.one_of({0.0, -0.3});
  if (random.in(0, 2) == 0) params.logprobs = random.in(0, 3);
}

Job random_job(Random& random) {
  Job job;
  const int64_t length = random.in(1, 30);
  for (int64_t i = 0; i < length; ++i)
    job.prompt.push_back(static_cast<int32_t>(random.in(0, kModel.vocab_size - 1)));
  job.params.max_tokens = random.in(1, 24);
  job.params.min_tokens = std::min(job.params.max_tokens, random.in(0, 6));
  job.params.repetition_penalty = random.one_of({1.0, 1.0, 1.2});
  job.params.no_repeat_ngram_size = random.one_of<int64_t>({0, 0, 2, 3});
  if (random.in(0, 3) == 0) job.params.logit_bias = {{4, 3.0f}, {9, -5.0f}};
  if (random.in(0, 3) == 0) job.params.stop_token_ids = {12, 13};
  if (random.in(0, 2) == 0)
    make_beam_search(job.params, random);
  else
    make_sampling(job.params, random);
  return job;
}

int64_t random_priority(Random& random) { return random.one_of<int64_t>({0, 0, -3, 2}); }

/// About as long as a workload takes.
std::optional<std::chrono::microseconds> random_timeout(Random& random) {
  if (!random.one_in(3)) return std::nullopt;
  return std::chrono::microseconds(random.in(0, 20'000));
}

SchedulerLimits random_limits(Random& random) {
  SchedulerLimits limits = small_limits();
  limits.max_num_seqs = random.in(4, 12);
  limits.max_num_batched_tokens = limits.max_num_seqs + random.in(0, 20);
  limits.max_prefill_chunk = random.in(1, limits.max_num_batched_tokens);
  limits.block_size = random.one_of<int64_t>({1, 3, 4, 8});
  limits.num_kv_blocks = random.in(140, 400) / limits.block_size * 2;
  return limits;
}

ExecutorOptions random_options(Random& random) {
  ExecutorOptions options = options_for(kModel, random_limits(random));
  options.scheduling.policy =
      random.one_of({SchedulingPolicy::guaranteed_no_evict, SchedulingPolicy::max_utilization});
  options.scheduling.enable_prefix_caching = random.one_in(2);
  options.scheduling.target_step_s = random.one_of({0.0, 1e-4, 0.02});
  options.run_ahead = random.one_in(2);
  // Just enough for the widest request, so that some are paused.
  if (options.scheduling.policy == SchedulingPolicy::max_utilization)
    options.limits.num_kv_blocks = 160 / options.limits.block_size;
  return options;
}

std::vector<Outcome> run_alone(const std::vector<Job>& jobs) {
  std::vector<Outcome> outcomes;
  Engine engine(kModel, {.max_num_seqs = 8,
                         .max_num_batched_tokens = 64,
                         .max_model_len = 64,
                         .block_size = 16,
                         .num_kv_blocks = 64,
                         .max_prefill_chunk = 64});
  for (const Job& job : jobs) outcomes.push_back(engine.generate(job.prompt, job.params));
  return outcomes;
}

/// A choice that was cut short has the first tokens of the one that went on.
bool is_prefix(const Outcome::Choice& cut, const Outcome::Choice& whole) {
  return cut.tokens.size() <= whole.tokens.size() &&
         std::equal(cut.tokens.begin(), cut.tokens.end(), whole.tokens.begin());
}

void expect_same_or_cut_short(const Outcome& together, const Outcome& alone) {
  EXPECT_EQ(together.num_ends, 1);
  EXPECT_EQ(together.num_events_after_end, 0);
  ASSERT_TRUE(together.error.has_value() || together.choices.size() == alone.choices.size());
  for (const auto& [index, choice] : together.choices) {
    ASSERT_TRUE(choice.end.has_value() || together.error.has_value());
    if (!choice.end || choice.end->reason == FinishReason::cancelled)
      EXPECT_TRUE(is_prefix(choice, alone.choices.at(index)));
    else
      EXPECT_TRUE(choice == alone.choices.at(index)) << "choice " << index;
  }
}

/// Nothing but a deadline fails a request.
void expect_no_error_but_of(const Job& job, const Outcome& outcome) {
  if (!outcome.error) return;
  EXPECT_TRUE(job.timeout.has_value()) << outcome.error->message();
  EXPECT_EQ(outcome.error->kind(), ErrorKind::cancelled) << outcome.error->message();
}

TEST(Workload, ResultsDoNotDependOnNeighboursChunksBlocksOrPolicy) {
  int64_t num_preemptions = 0;
  int64_t num_prefix_hits = 0;
  for (uint32_t seed = 0; seed < 90; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::vector<Job> jobs;
    for (int64_t i = random.in(3, 14); i > 0; --i) jobs.push_back(random_job(random));
    const std::vector<Outcome> alone = run_alone(jobs);
    const ExecutorOptions options = random_options(random);
    for (Job& job : jobs) job.priority = random_priority(random);
    const bool takes_tokens = seed % 2 == 0;
    Engine engine(kModel, options, takes_tokens);
    std::vector<std::shared_ptr<Inbox>> inboxes;
    for (const Job& job : jobs) inboxes.push_back(engine.submit(job.request()));
    for (size_t i = 0; i < jobs.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "request " << i);
      const Outcome together = inboxes[i]->wait();
      ASSERT_FALSE(together.error.has_value()) << together.error->message();
      EXPECT_TRUE(together.choices == alone[i].choices);
    }
    const ExecutorStats stats = engine.wait_until_idle();
    EXPECT_EQ(stats.num_free_blocks, options.limits.num_kv_blocks);
    EXPECT_LE(engine.runner.max_tokens_in_step, options.limits.max_num_batched_tokens);
    num_preemptions += stats.num_preemptions;
    num_prefix_hits += stats.num_prefix_hits;
  }
  EXPECT_GT(num_preemptions, 0);
  EXPECT_GT(num_prefix_hits, 0);
}

TEST(Workload, EveryRequestEndsOnceWhileOthersAreCancelledOrLate) {
  int64_t num_late = 0;
  int64_t num_in_time = 0;  // of those with a deadline
  for (uint32_t seed = 100; seed < 130; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::vector<Job> jobs;
    for (int64_t i = 0; i < 16; ++i) jobs.push_back(random_job(random));
    const std::vector<Outcome> alone = run_alone(jobs);
    for (Job& job : jobs) {
      job.priority = random_priority(random);
      job.timeout = random_timeout(random);
    }
    const bool takes_tokens = seed % 2 == 0;
    Engine engine(kModel, random_options(random), takes_tokens);
    std::vector<std::shared_ptr<Inbox>> inboxes;
    std::vector<RequestId> ids(jobs.size());
    for (size_t i = 0; i < jobs.size(); ++i)
      inboxes.push_back(engine.submit(jobs[i].request(), &ids[i]));
    std::thread canceller([&] {
      for (const RequestId id : ids)
        if (static_cast<uint64_t>(id) % 3 == 0) engine.executor.cancel(id);
    });
    for (size_t i = 0; i < jobs.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "request " << i);
      const Outcome outcome = inboxes[i]->wait();
      expect_same_or_cut_short(outcome, alone[i]);
      expect_no_error_but_of(jobs[i], outcome);
      if (jobs[i].timeout) ++(outcome.error ? num_late : num_in_time);
    }
    canceller.join();
    engine.wait_until_idle();
  }
  EXPECT_GT(num_late, 0);
  EXPECT_GT(num_in_time, 0);
}

TEST(Workload, BrokenStepsLoseNoBlocksAndHangNobody) {
  for (uint32_t seed = 200; seed < 220; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const bool takes_tokens = seed % 2 == 0;
    Engine engine(kModel, random_options(random), takes_tokens);
    engine.runner.on_step = [](int64_t step) {
      if (step % 9 == 0) throw std::runtime_error("a step broke");
    };
    std::vector<std::shared_ptr<Inbox>> inboxes;
    for (int64_t i = 0; i < 20; ++i) {
      Job job = random_job(random);
      job.priority = random_priority(random);
      job.timeout = random_timeout(random);
      inboxes.push_back(engine.submit(job.request()));
    }
    for (const auto& inbox : inboxes) {
      const Outcome outcome = inbox->wait();
      EXPECT_EQ(outcome.num_ends, 1);
      EXPECT_NE(outcome.error.has_value(), outcome.usage.has_value());
    }
    engine.wait_until_idle();
  }
}

TEST(Workload, ManyThreadsMaySubmitAtOnce) {
  Engine engine;
  const std::vector<int32_t> prompt = {1, 2, 3};
  SamplingParams params;
  params.max_tokens = 6;
  params.seed = 4;
  const Outcome expected = engine.generate(prompt, params);
  std::vector<std::jthread> threads;
  std::atomic<int> num_equal = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i)
        num_equal += engine.generate(prompt, params).choices == expected.choices ? 1 : 0;
    });
  threads.clear();
  EXPECT_EQ(num_equal, 80);
}

}  // namespace
}  // namespace veloz::serving
