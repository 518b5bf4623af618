// SPDX-License-Identifier: Apache-2.0
#include "veloz/executor.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "support/expect_error.h"
#include "support/golden_models.h"
#include "support/temp_directory.h"
#include "veloz/build.h"

namespace veloz {
namespace {

using test::throws_error;

/// All that came out of a stream.
struct Read {
  std::vector<std::string> order;  // kinds of events
  PromptDone prompt;
  std::map<int64_t, CompletionDelta> joined;
  std::map<int64_t, CompletionEnd> ends;
  RequestEnd end;
};

Read read_all(EventStream& stream) {
  Read read;
  while (std::optional<Event> event = stream.next()) {
    if (auto* prompt = std::get_if<PromptDone>(&*event)) {
      read.order.emplace_back("prompt");
      read.prompt = std::move(*prompt);
    } else if (auto* delta = std::get_if<CompletionDelta>(&*event)) {
      if (read.order.empty() || read.order.back() != "delta") read.order.emplace_back("delta");
      EXPECT_EQ(read.ends.count(delta->completion), 0u);
      CompletionDelta& joined = read.joined[delta->completion];
      joined.token_ids.insert(joined.token_ids.end(), delta->token_ids.begin(),
                              delta->token_ids.end());
      joined.text += delta->text;
      joined.logprobs.insert(joined.logprobs.end(), delta->logprobs.begin(), delta->logprobs.end());
    } else if (auto* ended = std::get_if<CompletionEnd>(&*event)) {
      read.order.emplace_back("completion end");
      read.ends[ended->completion] = std::move(*ended);
    } else {
      read.order.emplace_back("end");
      read.end = std::get<RequestEnd>(std::move(*event));
    }
  }
  return read;
}

/// A request may end before it is cancelled; not so often.
constexpr int kTries = 20;

bool was_cancelled(const Read& read) {
  return read.ends.contains(0) && read.ends.at(0).finish_reason == FinishReason::cancelled;
}

EventStream submit(Executor& executor, ExecutorRequest request) {
  return std::get<EventStream>(executor.submit(std::move(request)));
}

/// The bundled summariser, by LLM and Executor together.
class ExecutorApi : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<test::TempDirectory>();
    build(test::small_build(test::bundled_model("tiny-gptj"), directory_->path() / "engine"));
    llm_ = std::make_unique<LLM>(LLM::load(directory_->path() / "engine", {.num_threads = 2}));
    executor_ = std::make_unique<Executor>(*llm_);
  }
  static void TearDownTestSuite() {
    executor_.reset();
    llm_.reset();
    directory_.reset();
  }

  static SamplingParams sampled(int64_t max_tokens) {
    SamplingParams params;
    params.max_tokens = max_tokens;
    params.ignore_eos = true;
    params.seed = 3;
    return params;
  }
  static ExecutorStats wait_until_idle(const Executor& executor = *executor_) {
    ExecutorStats stats = executor.stats();
    while (stats.num_running + stats.num_waiting > 0) {
      std::this_thread::yield();
      stats = executor.stats();
    }
    return stats;
  }

  static inline std::unique_ptr<test::TempDirectory> directory_;
  static inline std::unique_ptr<LLM> llm_;
  static inline std::unique_ptr<Executor> executor_;
  static inline const std::string kPrompt =
      "The council of the town met on Monday to talk about the bridge.";
};

TEST_F(ExecutorApi, AStreamTellsWhatGenerateReturns) {
  SamplingParams params = sampled(40);
  params.n = 2;
  params.logprobs = 2;
  params.prompt_logprobs = 1;
  params.stop = {" the "};
  const RequestOutput expected = llm_->generate(kPrompt, params);
  EventStream stream = submit(*executor_, {.prompt = kPrompt, .params = params});
  const Read read = read_all(stream);
  EXPECT_EQ(read.order.front(), "prompt");
  EXPECT_EQ(read.order.back(), "end");
  EXPECT_EQ(read.end.seed, 3u);
  EXPECT_EQ(read.end.usage.num_prompt_tokens, std::ssize(expected.prompt_token_ids));
  EXPECT_EQ(read.prompt.logprobs.size(), expected.prompt_token_ids.size() - 1);
  for (const Completion& completion : expected.completions) {
    const CompletionDelta& joined = read.joined.at(completion.index);
    const CompletionEnd& end = read.ends.at(completion.index);
    EXPECT_EQ(joined.token_ids, completion.token_ids);
    EXPECT_EQ(joined.text, completion.text);
    ASSERT_EQ(joined.logprobs.size(), completion.logprobs.size());
    for (size_t i = 0; i < joined.logprobs.size(); ++i)
      for (size_t j = 0; j < 3; ++j) {
        EXPECT_EQ(joined.logprobs[i][j].token_id, completion.logprobs[i][j].token_id);
        EXPECT_EQ(joined.logprobs[i][j].logprob, completion.logprobs[i][j].logprob);
      }
    EXPECT_EQ(end.finish_reason, completion.finish_reason);
    EXPECT_EQ(end.stop_reason, completion.stop_reason);
  }
}

TEST_F(ExecutorApi, BeamSearchComesWithItsScores) {
  SamplingParams params = sampled(6);
  params.num_beams = params.n = 2;
  const RequestOutput expected = llm_->generate(kPrompt, params);
  EventStream stream = submit(*executor_, {.prompt = kPrompt, .params = params});
  const Read read = read_all(stream);
  for (const Completion& completion : expected.completions) {
    EXPECT_EQ(read.joined.at(completion.index).token_ids, completion.token_ids);
    EXPECT_EQ(read.ends.at(completion.index).score, completion.score);
  }
}

TEST_F(ExecutorApi, AStreamNobodyReadsHoldsItsOutputInFewEvents) {
  EventStream stream = submit(*executor_, {.prompt = kPrompt, .params = sampled(100)});
  EventStream longer = submit(*executor_, {.prompt = kPrompt, .params = sampled(200)});
  read_all(longer);  // in the same steps, so that the other one has ended before
  int num_events = 0;
  size_t num_tokens = 0;
  while (const std::optional<Event> event = stream.try_next()) {
    ++num_events;
    if (const auto* delta = std::get_if<CompletionDelta>(&*event))
      num_tokens += delta->token_ids.size();
  }
  EXPECT_EQ(num_events, 4);
  EXPECT_EQ(num_tokens, 100u);
  EXPECT_TRUE(stream.is_done());
}

TEST_F(ExecutorApi, ACancelledRequestEndsWithItsEvents) {
  Read read;
  for (int i = 0; i < kTries && !was_cancelled(read); ++i) {
    EventStream stream = submit(*executor_, {.prompt = kPrompt, .params = sampled(400)});
    while (!std::holds_alternative<CompletionDelta>(*stream.next())) {
    }
    stream.cancel();
    read = read_all(stream);
  }
  EXPECT_EQ(read.ends.at(0).finish_reason, FinishReason::cancelled);
  EXPECT_FALSE(read.end.error.has_value());
  EXPECT_LT(read.end.usage.num_output_tokens, 400);
}

TEST_F(ExecutorApi, ADroppedStreamCancelsItsRequest) {
  int64_t num_tokens = 400;
  for (int i = 0; i < kTries && num_tokens >= 400; ++i) {
    const int64_t before = wait_until_idle().num_batched_tokens;
    {
      EventStream stream = submit(*executor_, {.prompt = kPrompt, .params = sampled(400)});
      EXPECT_TRUE(stream.next().has_value());  // it runs
    }
    num_tokens = wait_until_idle().num_batched_tokens - before;
  }
  EXPECT_LT(num_tokens, 400);
}

TEST_F(ExecutorApi, ADeadlineFailsTheRequest) {
  ExecutorRequest request{.prompt = kPrompt, .params = sampled(400)};
  request.deadline = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  EventStream stream = submit(*executor_, std::move(request));
  const Read read = read_all(stream);
  ASSERT_TRUE(read.end.error.has_value());
  EXPECT_EQ(read.end.error->kind(), ErrorKind::cancelled);
  EXPECT_TRUE(read.ends.empty());
}

TEST_F(ExecutorApi, RefusesWhatCannotBe) {
  SamplingParams hot = sampled(4);
  hot.temperature = -1;
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"temperature is -1"}, [&] {
    static_cast<void>(executor_->submit({.prompt = kPrompt, .params = hot}));
  }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"-5", "vocabulary"}, [&] {
    static_cast<void>(
        executor_->submit({.prompt = std::vector<int32_t>{1, -5}, .params = sampled(4)}));
  }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"max_model_len"}, [&] {
    static_cast<void>(executor_->submit({.prompt = kPrompt, .params = sampled(4000)}));
  }));
}

TEST_F(ExecutorApi, AFullQueueIsToldWithTheTimeToComeAgain) {
  Executor executor =
      Executor::load(directory_->path() / "engine",
                     {.num_threads = 1, .max_num_seqs = 1, .max_queued_requests = 2});
  std::vector<EventStream> streams;
  std::optional<QueueFull> full;
  while (!full && streams.size() < 10) {
    auto submitted = executor.submit({.prompt = kPrompt, .params = sampled(400)});
    if (auto* stream = std::get_if<EventStream>(&submitted))
      streams.push_back(std::move(*stream));
    else
      full = std::get<QueueFull>(std::move(submitted));
  }
  ASSERT_TRUE(full.has_value());
  EXPECT_GE(streams.size(), 2u);
  EXPECT_NE(full->reason.find("2"), std::string::npos) << full->reason;
  EXPECT_GT(full->retry_after_s, 0);
  streams.clear();  // cancels them, and then there is room
  std::optional<EventStream> stream;
  while (!stream) {
    auto submitted = executor.submit({.prompt = kPrompt, .params = sampled(3)});
    if (auto* accepted = std::get_if<EventStream>(&submitted))
      stream = std::move(*accepted);
    else
      std::this_thread::yield();
  }
  EXPECT_EQ(read_all(*stream).joined.at(0).token_ids.size(), 3u);
}

TEST_F(ExecutorApi, TheMoreUrgentGoesFirst) {
  LLM llm = LLM::load(directory_->path() / "engine", {.num_threads = 1, .max_num_seqs = 1});
  Executor executor(llm);
  std::vector<EventStream> streams;
  // By the engine's thread, and so while the first request runs.
  llm.generate(kPrompt, sampled(20), [&](const TextDelta&) {
    if (!streams.empty()) return true;
    for (const int64_t priority : {0, -1})
      streams.push_back(
          submit(executor, {.prompt = kPrompt, .params = sampled(40), .priority = priority}));
    return true;
  });
  ASSERT_EQ(streams.size(), 2u);
  EventStream& ordinary = streams[0];
  EventStream& urgent = streams[1];
  while (!std::holds_alternative<CompletionDelta>(*ordinary.next())) {
  }
  while (urgent.try_next()) {
  }
  EXPECT_TRUE(urgent.is_done());  // before the ordinary one gave its first token
  EXPECT_EQ(read_all(ordinary).ends.at(0).finish_reason, FinishReason::length);
}

TEST_F(ExecutorApi, StatsTellWhatHappens) {
  LLM llm = LLM::load(directory_->path() / "engine", {.num_threads = 1, .max_num_seqs = 1});
  Executor executor(llm);
  const int64_t prompt_tokens = std::ssize(llm.encode(kPrompt));
  const int64_t num_blocks = executor.stats().num_kv_blocks;
  std::vector<EventStream> streams;
  std::optional<ExecutorStats> meanwhile;
  // By the engine's thread: the two wait from the step after on, in which it calls again.
  llm.generate(kPrompt, sampled(20), [&](const TextDelta&) {
    if (streams.empty())
      for (int i = 0; i < 2; ++i)
        streams.push_back(submit(executor, {.prompt = kPrompt, .params = sampled(3)}));
    else if (!meanwhile)
      meanwhile = executor.stats();
    return true;
  });
  ASSERT_TRUE(meanwhile.has_value());
  EXPECT_EQ(meanwhile->num_running, 1);
  EXPECT_EQ(meanwhile->num_waiting, 2);
  EXPECT_EQ(meanwhile->num_queued_tokens, 2 * prompt_tokens);
  EXPECT_EQ(meanwhile->num_kv_blocks, num_blocks);
  EXPECT_EQ(meanwhile->num_free_kv_blocks, num_blocks - 1);
  for (EventStream& stream : streams) read_all(stream);
  const ExecutorStats idle = wait_until_idle(executor);
  EXPECT_EQ(idle.num_queued_tokens, 0);
  EXPECT_EQ(idle.num_kv_blocks, 8);  // one sequence of 512 positions, in blocks of 64
  EXPECT_EQ(idle.num_free_kv_blocks, 8);
  EXPECT_EQ(idle.num_steps, 20 + 3 + 3);
  EXPECT_EQ(idle.num_batched_tokens, 3 * prompt_tokens + 19 + 2 + 2);
  EXPECT_EQ(idle.num_sampled_rows, 20 + 3 + 3);
  EXPECT_EQ(idle.num_preemptions, 0);
  EXPECT_EQ(idle.num_prefix_queries, 3 * prompt_tokens);
  EXPECT_EQ(idle.num_prefix_hits, 0);
}

TEST_F(ExecutorApi, StatsCountPausesAndPrefixHits) {
  LLMOptions options{
      .num_threads = 1,
      .kv_cache_memory_bytes = test::bytes_of_a_small_cache(directory_->path() / "engine"),
      .max_num_seqs = 2,
      .scheduling_policy = SchedulingPolicy::max_utilization};
  LLM llm = LLM::load(directory_->path() / "engine", options);
  Executor executor(llm);
  std::optional<EventStream> stream;
  llm.generate(kPrompt, sampled(480), [&](const TextDelta&) {
    if (!stream) stream = submit(executor, {.prompt = kPrompt, .params = sampled(480)});
    return true;
  });
  ASSERT_TRUE(stream.has_value());
  EXPECT_EQ(read_all(*stream).end.usage.num_preemptions, 1);
  EXPECT_EQ(wait_until_idle(executor).num_preemptions, 1);
  EXPECT_EQ(executor.stats().num_prefix_hits, 0);
  const std::vector<int32_t> prompt(150, 7);
  for (int i = 0; i < 2; ++i) llm.generate(prompt, sampled(2));
  EXPECT_EQ(executor.stats().num_prefix_hits, 128);  // two blocks of 64
}

TEST_F(ExecutorApi, AStreamOutlivesTheExecutor) {
  std::optional<EventStream> stream;
  {
    Executor executor = Executor::load(directory_->path() / "engine", {.num_threads = 1});
    stream = submit(executor, {.prompt = kPrompt, .params = sampled(20)});
  }
  EXPECT_EQ(read_all(*stream).joined.at(0).token_ids.size(), 20u);
}

TEST_F(ExecutorApi, RequestsFromManyThreadsGetWhatTheyGetAlone) {
  std::vector<std::vector<int32_t>> alone(6);
  std::vector<std::vector<int32_t>> together(6);
  const auto run = [](size_t i, std::vector<int32_t>& tokens) {
    SamplingParams params = sampled(30);
    params.seed = i;
    EventStream stream = submit(*executor_, {.prompt = kPrompt, .params = params});
    tokens = read_all(stream).joined.at(0).token_ids;
  };
  for (size_t i = 0; i < alone.size(); ++i) run(i, alone[i]);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < together.size(); ++i)
      threads.emplace_back([&, i] { run(i, together[i]); });
  }
  EXPECT_EQ(together, alone);
}

TEST_F(ExecutorApi, PromptsThatBeginAlikeAreFoundInTheCache) {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < 150; ++i) prompt.push_back(5 + i * 13 % 1000);
  ExecutorRequest request{.prompt = prompt, .params = sampled(2)};
  request.cache_salt = "mine";
  EventStream first = submit(*executor_, request);
  EXPECT_EQ(read_all(first).prompt.num_cached_tokens, 0);
  EventStream second = submit(*executor_, request);
  const Read read = read_all(second);
  EXPECT_EQ(read.prompt.num_cached_tokens, 128);  // two blocks of 64
  EXPECT_EQ(read.end.usage.num_cached_tokens, 128);
  request.cache_salt = "yours";
  EventStream third = submit(*executor_, request);
  EXPECT_EQ(read_all(third).prompt.num_cached_tokens, 0);
}

}  // namespace
}  // namespace veloz
