// SPDX-License-Identifier: Apache-2.0
// What an executor tells of itself and of its requests: bounds on its queue, deadlines, timings,
// steps, prefixes; and that the ways it may run give the same tokens.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <variant>
#include <vector>

#include "serving/engine_fixture.h"

namespace veloz::serving {
namespace {

/// Holds the runner's steps until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++num_waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_open_; });
  }
  void wait_for_step() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return num_waiting_ > 0; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
  int num_waiting_ = 0;
};

SamplingParams tokens(int64_t max_tokens) {
  SamplingParams params;
  params.max_tokens = max_tokens;
  params.ignore_eos = true;
  params.seed = 3;
  return params;
}

Request request(std::vector<int32_t> prompt, int64_t max_tokens) {
  Request result;
  result.prompt_tokens = std::move(prompt);
  result.params = tokens(max_tokens);
  return result;
}

ExecutorOptions one_at_a_time() {
  ExecutorOptions options = options_for(kModel, small_limits());
  options.limits.max_num_seqs = 1;
  return options;
}

/// Submits to a full queue: what it says, and that it says nothing to the sink.
QueueFull submit_to_full(Engine& engine, Request full) {
  auto inbox = std::make_shared<Inbox>();
  const auto answer = engine.executor.submit(std::move(full), std::make_unique<Collector>(inbox));
  EXPECT_EQ(inbox->peek().num_ends, 0);
  EXPECT_EQ(inbox.use_count(), 1);  // the sink is gone
  return std::get<QueueFull>(answer);
}

TEST(Queue, RefusesMoreRequestsThanMayWait) {
  ExecutorOptions options = one_at_a_time();
  options.max_queued_requests = 2;
  Engine engine(kModel, options);
  Gate gate;
  engine.runner.on_step = [&](int64_t) { gate.pass(); };
  std::vector<std::shared_ptr<Inbox>> inboxes = {engine.submit(request({1, 2}, 4))};
  gate.wait_for_step();
  for (int i = 0; i < 2; ++i) inboxes.push_back(engine.submit(request({1, 2}, 4)));
  const QueueFull full = submit_to_full(engine, request({1, 2}, 4));
  EXPECT_EQ(full.reason, "2 requests are waiting, the limit is 2");
  EXPECT_EQ(full.retry_after_s, 1) << "none has finished yet";
  gate.open();
  for (const auto& inbox : inboxes) EXPECT_FALSE(inbox->wait().error.has_value());
  EXPECT_EQ(engine.generate({1, 2}, tokens(4)).choices.at(0).tokens.size(), 4u);
}

TEST(Queue, SaysWhenThereIsRoomFromHowLongRequestsTook) {
  ExecutorOptions options = one_at_a_time();
  options.max_queued_requests = 1;
  Engine engine(kModel, options);
  constexpr double kStep_s = 1.25;
  Gate gate;
  engine.runner.on_step = [&](int64_t step) {
    if (step == 1)
      std::this_thread::sleep_for(std::chrono::duration<double>(kStep_s));
    else
      gate.pass();
  };
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(engine.submit(request({1, 2}, 1))->wait().error.has_value());
  std::vector<std::shared_ptr<Inbox>> inboxes = {engine.submit(request({1, 2}, 1))};
  gate.wait_for_step();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  inboxes.push_back(engine.submit(request({1, 2}, 1)));
  const QueueFull full = submit_to_full(engine, request({1, 2}, 1));
  EXPECT_GE(full.retry_after_s, kStep_s) << "the one that runs takes as long as the one before";
  EXPECT_LE(full.retry_after_s, elapsed.count());
  gate.open();
  for (const auto& inbox : inboxes) EXPECT_FALSE(inbox->wait().error.has_value());
}

TEST(Queue, TakesAllOfABatchOrNone) {
  ExecutorOptions options = one_at_a_time();
  options.max_queued_requests = 2;
  Engine engine(kModel, options);
  Gate gate;
  engine.runner.on_step = [&](int64_t) { gate.pass(); };
  const auto running = engine.submit(request({1, 2}, 4));
  gate.wait_for_step();
  std::vector<std::shared_ptr<Inbox>> inboxes;
  const auto batch = [&](size_t size) {
    std::vector<Submittal> result;
    for (size_t i = 0; i < size; ++i) {
      inboxes.push_back(std::make_shared<Inbox>());
      result.push_back({request({1, 2, 3}, 4), std::make_unique<Collector>(inboxes.back())});
    }
    return result;
  };
  std::vector<Submittal> wrong = batch(3);
  wrong.back().request.params.max_tokens = 0;
  EXPECT_THROW(std::ignore = engine.executor.submit(std::move(wrong)), Error);
  const auto taken = engine.executor.submit(batch(3));
  EXPECT_EQ(std::get<std::vector<RequestId>>(taken).size(), 3u);
  const auto refused = engine.executor.submit(batch(2));
  EXPECT_EQ(std::get<QueueFull>(refused).reason, "3 requests are waiting, the limit is 2");
  gate.open();
  EXPECT_FALSE(running->wait().error.has_value());
  for (size_t i = 0; i < inboxes.size(); ++i) {
    if (i >= 3 && i < 6) {
      EXPECT_EQ(inboxes[i]->wait().choices.at(0).tokens.size(), 4u) << i;
    } else {
      EXPECT_EQ(inboxes[i].use_count(), 1) << i << ": its sink is not gone";
      EXPECT_EQ(inboxes[i]->peek().num_ends, 0) << i;
    }
  }
}

TEST(Queue, RefusesMorePromptTokensThanMayWait) {
  ExecutorOptions options = one_at_a_time();
  options.max_queued_tokens = 10;
  Engine engine(kModel, options);
  Gate gate;
  engine.runner.on_step = [&](int64_t) { gate.pass(); };
  const auto running = engine.submit(request({1, 2}, 4));
  gate.wait_for_step();
  const auto waiting = engine.submit(request(std::vector<int32_t>(12, 1), 4));  // finds nobody
  const QueueFull full = submit_to_full(engine, request({1}, 4));
  EXPECT_EQ(full.reason,
            "12 prompt tokens are waiting, with 1 more the limit of 10 would be exceeded");
  gate.open();
  EXPECT_FALSE(running->wait().error.has_value());
  EXPECT_FALSE(waiting->wait().error.has_value());
}

/// Notes whose turn it is.
class TurnObserver final : public TokenObserver {
 public:
  TurnObserver(std::vector<int64_t>& turns, int64_t priority)
      : turns_(turns), priority_(priority) {}
  std::optional<FinishReason> on_token(int64_t, int32_t) override {
    turns_.push_back(priority_);
    return std::nullopt;
  }

 private:
  std::vector<int64_t>& turns_;
  int64_t priority_;
};

TEST(Queue, LetsTheMoreUrgentGoFirst) {
  std::vector<int64_t> turns;  // the engine thread's until all have ended
  Engine engine(kModel, one_at_a_time());
  Gate gate;
  engine.runner.on_step = [&](int64_t) { gate.pass(); };
  std::vector<std::shared_ptr<Inbox>> inboxes = {engine.submit(request({1, 2}, 4))};
  gate.wait_for_step();
  for (const int64_t priority : {0, 2, -1}) {
    Request waiting = request({1, 2}, 2);
    waiting.priority = priority;
    waiting.observer = std::make_unique<TurnObserver>(turns, priority);
    inboxes.push_back(engine.submit(std::move(waiting)));
  }
  gate.open();
  for (const auto& inbox : inboxes) EXPECT_FALSE(inbox->wait().error.has_value());
  EXPECT_EQ(turns, (std::vector<int64_t>{-1, -1, 0, 0, 2, 2}));
}

TEST(Deadlines, EndARequestWithTheNumbers) {
  Engine engine;
  Request late = request({1, 2, 3}, 30);
  late.deadline = std::chrono::steady_clock::now();
  const Outcome outcome = engine.submit(std::move(late))->wait();
  ASSERT_TRUE(outcome.error.has_value());
  EXPECT_EQ(outcome.error->kind(), ErrorKind::cancelled);
  double seconds = 0;
  int length = 0;
  EXPECT_EQ(std::sscanf(outcome.error->message().c_str(), "deadline exceeded %lf s after%n",
                        &seconds, &length),
            1);
  EXPECT_GT(length, 0) << outcome.error->message();
  EXPECT_NE(outcome.error->message().find("with 0 output tokens"), std::string::npos);
  engine.wait_until_idle();
}

TEST(Deadlines, EndADecodingRequestAndLeaveItsNeighbourAlone) {
  Engine engine;
  const Outcome alone = engine.generate({7, 8, 9}, tokens(40));
  const int64_t first_step = engine.wait_until_idle().num_steps;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  Gate gate;
  engine.runner.on_step = [&](int64_t step) {
    if (step == first_step + 8) std::this_thread::sleep_until(deadline);
    if (step == first_step + 12) gate.pass();
  };
  Request late = request({1, 2, 3}, 40);
  late.deadline = deadline;
  const auto late_inbox = engine.submit(std::move(late));
  const auto neighbour = engine.submit(request({7, 8, 9}, 40));
  const Outcome outcome = late_inbox->wait();
  ASSERT_TRUE(outcome.error.has_value());
  EXPECT_EQ(outcome.error->kind(), ErrorKind::cancelled);
  const size_t num_tokens = outcome.choices.at(0).tokens.size();
  EXPECT_GE(num_tokens, 2u) << "it was not decoding yet";
  EXPECT_LT(num_tokens, 40u);
  EXPECT_NE(outcome.error->message().find(fmt::format("with {} output tokens", num_tokens)),
            std::string::npos)
      << outcome.error->message();
  gate.wait_for_step();
  const std::vector<RunningRequest> running = engine.executor.running();
  ASSERT_EQ(running.size(), 1u);
  EXPECT_EQ(engine.executor.stats().num_free_blocks,
            engine.executor.stats().num_blocks - running[0].num_blocks);
  EXPECT_EQ(neighbour->peek().num_ends, 0);
  gate.open();
  EXPECT_EQ(neighbour->wait().choices, alone.choices);
  engine.wait_until_idle();
  const Outcome in_the_end = late_inbox->peek();
  EXPECT_EQ(in_the_end.num_ends, 1);
  EXPECT_EQ(in_the_end.num_events_after_end, 0);
}

TEST(Deadlines, FarAwayChangeNothing) {
  Engine engine;
  Request early = request({1, 2, 3}, 12);
  early.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
  EXPECT_EQ(engine.submit(std::move(early))->wait().choices,
            engine.generate({1, 2, 3}, tokens(12)).choices);
}

TEST(Usage, TellsTimesAndCachedTokens) {
  Engine engine;
  const std::vector<int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const Outcome first = engine.generate(prompt, tokens(6));
  const Outcome second = engine.generate(prompt, tokens(6));
  ASSERT_EQ(first.prompts.size(), 1u);
  EXPECT_EQ(first.prompts[0].num_cached_tokens, 0);
  EXPECT_EQ(second.prompts.at(0).num_cached_tokens, 8);
  EXPECT_EQ(second.usage->num_cached_tokens, 8);
  EXPECT_EQ(second.num_events_after_end, 0);
  EXPECT_EQ(first.choices, second.choices);
  EXPECT_GE(first.usage->queue_s, 0);
  EXPECT_GT(first.usage->prefill_s, 0);
  EXPECT_GT(first.usage->decode_s, 0);
  const ExecutorStats stats = engine.wait_until_idle();
  EXPECT_EQ(stats.num_prefix_queries, 18);
  EXPECT_EQ(stats.num_prefix_hits, 8);
}

TEST(Usage, CountsHowOftenARequestWasPaused) {
  ExecutorOptions options = options_for(kModel, small_limits());
  options.scheduling.policy = SchedulingPolicy::max_utilization;
  options.limits.num_kv_blocks = 12;
  Engine engine(kModel, options);
  const Outcome alone = engine.generate({1, 2, 3}, tokens(40));
  engine.wait_until_idle();
  Gate gate;
  engine.runner.on_step = [&](int64_t) { gate.pass(); };
  const auto first = engine.submit(request({5, 6, 7}, 40));
  const auto second = engine.submit(request({1, 2, 3}, 40));
  gate.open();
  EXPECT_EQ(second->wait().choices, alone.choices);
  EXPECT_EQ(first->wait().usage->num_preemptions, 0);
  EXPECT_GE(second->wait().usage->num_preemptions, 1);
  EXPECT_GE(engine.wait_until_idle().num_preemptions, 1);
}

TEST(Steps, GiveTheirEventsWithinTheScopeOfTheOwner) {
  int64_t num_scopes = 0;  // the engine thread's until the executor is gone, as the next
  std::vector<int64_t> num_tokens_before;
  const auto inbox = std::make_shared<Inbox>();
  {
    ExecutorOptions options = options_for(kModel, small_limits());
    const auto count = [&] {
      const Outcome outcome = inbox->peek();
      num_tokens_before.push_back(
          outcome.choices.empty() ? 0 : std::ssize(outcome.choices.begin()->second.tokens));
    };
    options.event_scope = [&](const std::function<void()>& give_events) {
      ++num_scopes;
      count();
      give_events();
      count();
    };
    Engine engine(kModel, options);
    Request asked = request({1, 2, 3}, 5);
    asked.params.ignore_eos = true;
    std::ignore = engine.executor.submit(std::move(asked), std::make_unique<Collector>(inbox));
    EXPECT_EQ(inbox->wait().num_ends, 1);
  }
  // One step a token; none comes between two scopes.
  EXPECT_EQ(num_tokens_before, (std::vector<int64_t>{0, 1, 1, 2, 2, 3, 3, 4, 4, 5}));
  EXPECT_EQ(num_scopes, 5);
}

TEST(Steps, AreReportedWithWhatTheyDid) {
  std::vector<StepRecord> records;  // the engine thread's until the executor is gone
  {
    ExecutorOptions options = options_for(kModel, small_limits());
    options.on_step = [&](const StepRecord& record) { records.push_back(record); };
    Engine engine(kModel, options);
    engine.generate(std::vector<int32_t>(20, 2), tokens(5));
  }
  ASSERT_GE(records.size(), 6u);
  EXPECT_EQ(records[0].number, 1);
  EXPECT_EQ(records[0].num_prefill_tokens, 16);
  EXPECT_EQ(records[1].num_prefill_tokens, 4);
  EXPECT_EQ(records[2].num_decode_tokens, 1);
  for (const StepRecord& record : records) {
    EXPECT_EQ(record.num_seqs, 1);
    EXPECT_GT(record.duration_s, 0);
    EXPECT_GT(record.predicted_s, 0);
  }
}

TEST(Steps, AStepThatHangsIsSeenWithItsRequests) {
  Engine engine;
  Gate gate;
  engine.runner.on_step = [&](int64_t step) {
    if (step == 1) gate.pass();
  };
  Request hanging = request({1, 2, 3, 4, 5}, 20);
  hanging.label = "my-id";
  const auto before = std::chrono::steady_clock::now();
  const auto inbox = engine.submit(std::move(hanging));
  gate.wait_for_step();
  const ExecutorStats stats = engine.executor.stats();
  EXPECT_TRUE(stats.step_start.has_value());
  EXPECT_GT(stats.step_predicted_s, 0);
  const std::vector<RunningRequest> running = engine.executor.running();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - before;
  ASSERT_EQ(running.size(), 1u);
  EXPECT_EQ(running[0].label, "my-id");
  EXPECT_EQ(running[0].num_prompt_tokens, 5);
  EXPECT_EQ(running[0].num_blocks, 2);
  EXPECT_GT(running[0].age_s, 0);
  EXPECT_LE(running[0].age_s, elapsed.count());
  gate.open();
  EXPECT_FALSE(inbox->wait().error.has_value());
  const ExecutorStats idle = engine.wait_until_idle();
  EXPECT_FALSE(idle.step_start.has_value());
  EXPECT_TRUE(engine.executor.running().empty());
}

TEST(Steps, ACancelledRequestIsGoneBeforeItsStepEnds) {
  Engine engine;
  Gate gate;
  engine.runner.on_step = [&](int64_t step) {
    if (step == 4) gate.pass();
  };
  RequestId id{};
  const auto inbox = engine.submit(request({1, 2, 3}, 40), &id);
  gate.wait_for_step();
  engine.executor.cancel(id);
  gate.open();
  EXPECT_EQ(inbox->wait().choices.at(0).end->reason, FinishReason::cancelled);
  const ExecutorStats stats = engine.wait_until_idle();
  EXPECT_LE(stats.num_steps, 5);
}

/// Penalties, bans and stops need tokens that a step ahead does not know when it is launched.
std::vector<Request> awkward_requests() {
  std::vector<Request> requests;
  for (int kind = 0; kind < 5; ++kind) {
    Request r = request({4, 5, 6, static_cast<int32_t>(kind)}, 20);
    r.params.seed = static_cast<uint64_t>(kind);
    if (kind == 0) r.params.frequency_penalty = 1.5;
    if (kind == 1) r.params.no_repeat_ngram_size = 2;
    if (kind == 2) r.params.stop_token_ids = {7, 8, 9, 10, 11};
    if (kind == 3) r.params.min_tokens = 5;
    if (kind == 4) r.params.temperature = 0;
    r.params.ignore_eos = kind == 1;
    requests.push_back(std::move(r));
  }
  return requests;
}

TEST(RunningAhead, GivesTheTokensThatWaitingGives) {
  std::vector<std::vector<std::map<int64_t, Outcome::Choice>>> results;
  struct Mode {
    bool run_ahead;
    bool takes_tokens;  // the device, by itself
  };
  for (const auto& [run_ahead, takes_tokens] : {Mode{false, true}, {true, false}, {true, true}}) {
    ExecutorOptions options = options_for(kModel, small_limits());
    options.run_ahead = run_ahead;
    Engine engine(kModel, options, takes_tokens);
    std::vector<std::shared_ptr<Inbox>> inboxes;
    for (Request& r : awkward_requests()) inboxes.push_back(engine.submit(std::move(r)));
    results.emplace_back();
    for (const auto& inbox : inboxes) results.back().push_back(inbox->wait().choices);
    EXPECT_EQ(engine.runner.num_fed_tokens > 0, run_ahead);
    EXPECT_EQ(engine.executor.stats().num_steps_ahead > 0, run_ahead);
    EXPECT_EQ(engine.runner.num_taken_tokens > 0, run_ahead && takes_tokens);
    EXPECT_EQ(engine.executor.stats().compute_cpu_s > 0, !takes_tokens);
    EXPECT_EQ(results.back(), results.front());
  }
}

}  // namespace
}  // namespace veloz::serving
