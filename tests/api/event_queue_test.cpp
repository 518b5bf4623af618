// SPDX-License-Identifier: Apache-2.0
#include "api/event_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace veloz::api {
namespace {

CompletionDelta delta(int64_t completion, int32_t token, std::string text) {
  CompletionDelta delta;
  delta.completion = completion;
  delta.token_ids = {token};
  delta.text = std::move(text);
  delta.logprobs = {{{token, -1.0f}}};
  return delta;
}

TEST(EventQueue, JoinsDeltasThatNobodyHasRead) {
  EventQueue queue(2);
  queue.push(PromptDone{});
  queue.push_delta(delta(0, 1, "a"));
  queue.push_delta(delta(1, 7, "x"));
  queue.push_delta(delta(0, 2, "b"));
  queue.push_delta(delta(0, 3, "c"));
  EXPECT_TRUE(std::holds_alternative<PromptDone>(*queue.try_pop()));
  const auto first = std::get<CompletionDelta>(*queue.try_pop());
  EXPECT_EQ(first.completion, 0);
  EXPECT_EQ(first.token_ids, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(first.text, "abc");
  ASSERT_EQ(first.logprobs.size(), 3u);
  EXPECT_EQ(first.logprobs[2][0].token_id, 3);
  EXPECT_EQ(std::get<CompletionDelta>(*queue.try_pop()).text, "x");
  EXPECT_EQ(queue.try_pop(), std::nullopt);
}

TEST(EventQueue, BeginsANewDeltaWhereTheLastWasRead) {
  EventQueue queue(1);
  queue.push_delta(delta(0, 1, "a"));
  EXPECT_EQ(std::get<CompletionDelta>(*queue.try_pop()).text, "a");
  queue.push_delta(delta(0, 2, "b"));
  queue.push_delta(delta(0, 3, "c"));
  EXPECT_EQ(std::get<CompletionDelta>(*queue.try_pop()).text, "bc");
}

TEST(EventQueue, HoldsFewEventsWhateverComes) {
  constexpr int64_t kCompletions = 3;
  EventQueue queue(kCompletions);
  queue.push(PromptDone{});
  for (int32_t token = 0; token < 1000; ++token)
    for (int64_t c = 0; c < kCompletions; ++c) queue.push_delta(delta(c, token, "t"));
  for (int64_t c = 0; c < kCompletions; ++c) {
    CompletionEnd end;
    end.completion = c;
    queue.push(end);
  }
  queue.push(RequestEnd{});
  int64_t num_events = 0;
  while (queue.try_pop()) ++num_events;
  EXPECT_EQ(num_events, 2 * kCompletions + 2);
}

TEST(EventQueue, GivesNothingAfterTheEnd) {
  EventQueue queue(1);
  queue.push(RequestEnd{});
  EXPECT_FALSE(queue.is_done());
  EXPECT_TRUE(queue.pop().has_value());
  EXPECT_TRUE(queue.is_done());
  EXPECT_FALSE(queue.pop().has_value());
  EXPECT_FALSE(queue.try_pop().has_value());
}

TEST(EventQueue, WaitsForTheOtherThread) {
  EventQueue queue(1);
  std::jthread writer([&] {
    for (int32_t token = 0; token < 1000; ++token) queue.push_delta(delta(0, token, "t"));
    queue.push(RequestEnd{});
  });
  std::vector<int32_t> tokens;
  while (const std::optional<Event> event = queue.pop())
    if (const auto* read = std::get_if<CompletionDelta>(&*event))
      tokens.insert(tokens.end(), read->token_ids.begin(), read->token_ids.end());
  ASSERT_EQ(tokens.size(), 1000u);
  for (int32_t token = 0; token < 1000; ++token)
    EXPECT_EQ(tokens[static_cast<size_t>(token)], token);
}

}  // namespace
}  // namespace veloz::api
