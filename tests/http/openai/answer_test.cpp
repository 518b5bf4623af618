// SPDX-License-Identifier: Apache-2.0
#include "http/openai/answer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "http/openai/byte_pieces.h"

namespace veloz::http::openai {
namespace {

using nlohmann::json;

const BytePieces kPieces;

AnswerPlan plan(std::vector<int32_t> prompt = {'h', 'i'}) {
  AnswerPlan plan;
  plan.id = "chatcmpl-1";
  plan.model = "m";
  plan.pieces = &kPieces;
  plan.prompts.push_back({.tokens = std::move(prompt)});
  return plan;
}

void say(Answer& answer, std::string_view text, int64_t choice = 0, size_t prompt_idx = 0) {
  for (const char c : text)
    answer.take(prompt_idx,
                serving::TokenEvent{.choice = choice, .token = static_cast<unsigned char>(c)});
}

void end(Answer& answer, FinishReason reason = FinishReason::stop, int64_t choice = 0,
         size_t prompt_idx = 0) {
  answer.take(prompt_idx, serving::ChoiceEnd{.choice = choice, .reason = reason});
}

void finish(Answer& answer, int64_t num_output_tokens, size_t prompt_idx = 0) {
  answer.take(prompt_idx, serving::RequestUsage{.num_output_tokens = num_output_tokens});
}

// The events of a stream without the last, which must be [DONE].
std::vector<json> events_of(const std::string& stream) {
  std::vector<json> events;
  size_t at = 0;
  while (at < stream.size()) {
    EXPECT_EQ(stream.compare(at, 6, "data: "), 0) << stream.substr(at, 40);
    const size_t stop = stream.find("\n\n", at);
    const std::string data = stream.substr(at + 6, stop - at - 6);
    at = stop + 2;
    if (data == "[DONE]") {
      EXPECT_EQ(at, stream.size());
      return events;
    }
    events.push_back(json::parse(data));
  }
  ADD_FAILURE() << "no [DONE]";
  return events;
}

std::string content_of(const std::vector<json>& events, int64_t choice = 0) {
  std::string content;
  for (const json& event : events)
    for (const json& entry : event["choices"])
      if (entry["index"] == choice) content += entry["delta"].value("content", "");
  return content;
}

TEST(ChatAnswer, IsOneObjectWithTextReasonAndUsage) {
  const auto answer = create_chat_answer(plan(), /*is_streamed=*/false);
  answer->take(0, serving::PromptEvent{.num_cached_tokens = 1});
  say(*answer, "grüße");
  answer->take(0, serving::TokenEvent{.token = BytePieces::kEnd, .is_end = true});
  end(*answer);
  EXPECT_FALSE(answer->is_complete());
  finish(*answer, 8);
  ASSERT_TRUE(answer->is_complete());
  const json body = json::parse(answer->finish());
  EXPECT_EQ(body["id"], "chatcmpl-1");
  EXPECT_EQ(body["object"], "chat.completion");
  const json& choice = body["choices"].at(0);
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], "grüße");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_TRUE(choice["stop_reason"].is_null());
  EXPECT_TRUE(choice["logprobs"].is_null());
  EXPECT_FALSE(choice["message"].contains("tool_calls"));
  EXPECT_EQ(body["usage"],
            json::parse(R"({"prompt_tokens":2,"completion_tokens":8,"total_tokens":10,
                            "prompt_tokens_details":{"cached_tokens":1}})"));
}

TEST(ChatAnswer, StreamsTheRoleThenTextThenTheReason) {
  const auto answer = create_chat_answer(plan(), /*is_streamed=*/true);
  say(*answer, "ab");
  std::string stream, none;
  answer->take_events(stream);
  answer->take_events(none);
  EXPECT_EQ(none, "");
  say(*answer, "ü\"");
  end(*answer, FinishReason::length);
  finish(*answer, 5);
  stream += answer->finish();
  const std::vector<json> events = events_of(stream);
  EXPECT_EQ(events.front()["object"], "chat.completion.chunk");
  EXPECT_EQ(events.front()["choices"][0]["delta"],
            json::parse(R"({"role":"assistant","content":""})"));
  EXPECT_EQ(content_of(events), "abü\"");
  EXPECT_EQ(events.back()["choices"][0]["delta"], json::object());
  EXPECT_EQ(events.back()["choices"][0]["finish_reason"], "length");
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    EXPECT_TRUE(events[i]["choices"][0]["finish_reason"].is_null());
    EXPECT_FALSE(events[i].contains("usage"));
  }
}

TEST(ChatAnswer, StreamsUsageOnceAtTheEndOrInEveryEvent) {
  AnswerPlan once = plan();
  once.include_usage = true;
  AnswerPlan always = once;
  always.continuous_usage_stats = true;
  for (const AnswerPlan& each : {once, always}) {
    const auto answer = create_chat_answer(each, /*is_streamed=*/true);
    say(*answer, "ab");
    end(*answer);
    finish(*answer, 2);
    const std::vector<json> events = events_of(answer->finish());
    EXPECT_EQ(events.back()["choices"], json::array());
    EXPECT_EQ(events.back()["usage"]["total_tokens"], 4);
    const json& early = events[1]["usage"];
    if (each.continuous_usage_stats)
      EXPECT_EQ(early["completion_tokens"], 1);
    else
      EXPECT_TRUE(early.is_null());
  }
}

TEST(ChatAnswer, TellsChoicesApart) {
  for (const bool is_streamed : {false, true}) {
    AnswerPlan two = plan();
    two.n = two.num_generated = 2;
    const auto answer = create_chat_answer(two, is_streamed);
    say(*answer, "a", 0);
    say(*answer, "x", 1);
    say(*answer, "b", 0);
    end(*answer, FinishReason::stop, 0);
    say(*answer, "y", 1);
    end(*answer, FinishReason::length, 1);
    finish(*answer, 4);
    if (is_streamed) {
      const std::vector<json> events = events_of(answer->finish());
      EXPECT_EQ(content_of(events, 0), "ab");
      EXPECT_EQ(content_of(events, 1), "xy");
    } else {
      const json body = json::parse(answer->finish());
      EXPECT_EQ(body["choices"][0]["message"]["content"], "ab");
      EXPECT_EQ(body["choices"][1]["message"]["content"], "xy");
      EXPECT_EQ(body["choices"][1]["finish_reason"], "length");
    }
  }
}

TEST(ChatAnswer, GivesLogprobsOfEveryTokenWithItsBytes) {
  for (const bool is_streamed : {false, true}) {
    AnswerPlan with = plan();
    with.logprobs = true;
    const auto answer = create_chat_answer(with, is_streamed);
    for (const int32_t token : {0xC3, 0xBC})  // ü, in two tokens
      answer->take(
          0, serving::TokenEvent{
                 .token = token, .logprob = -0.5F, .top = {{token, -0.5F}, {'x', -INFINITY}}});
    end(*answer);
    finish(*answer, 2);
    json entries = json::array();
    if (is_streamed) {
      for (const json& event : events_of(answer->finish()))
        if (!event["choices"][0]["logprobs"].is_null())
          entries.push_back(event["choices"][0]["logprobs"]["content"].at(0));
    } else {
      entries = json::parse(answer->finish())["choices"][0]["logprobs"]["content"];
    }
    ASSERT_EQ(entries.size(), 2U);
    EXPECT_EQ(entries[0]["bytes"], json::parse("[195]"));
    EXPECT_EQ(entries[1]["bytes"], json::parse("[188]"));
    EXPECT_EQ(entries[0]["token"], "\uFFFD");
    EXPECT_EQ(entries[0]["logprob"], -0.5);
    EXPECT_EQ(entries[0]["top_logprobs"].size(), 2U);
    EXPECT_EQ(entries[0]["top_logprobs"][1]["token"], "x");
    EXPECT_EQ(entries[0]["top_logprobs"][1]["logprob"], -9999.0);
  }
}

TEST(ChatAnswer, SaysWhatStoppedIt) {
  AnswerPlan with = plan();
  with.params.stop = {"END"};
  with.params.stop_token_ids = {'z'};
  const auto by_string = create_chat_answer(with, /*is_streamed=*/false);
  by_string->take(0, serving::TokenEvent{.token = 'a'}, TextFacts{.text = "a"});
  by_string->take(0, serving::ChoiceEnd{.reason = FinishReason::stop},
                  TextFacts{.text = "", .matched_stop = 0});
  finish(*by_string, 1);
  EXPECT_EQ(json::parse(by_string->finish())["choices"][0]["stop_reason"], "END");
  const auto by_token = create_chat_answer(with, /*is_streamed=*/false);
  by_token->take(0, serving::TokenEvent{.token = 'z', .is_end = true});
  by_token->take(0, serving::ChoiceEnd{.reason = FinishReason::stop, .stop_token = 'z'});
  finish(*by_token, 1);
  const json choice = json::parse(by_token->finish())["choices"][0];
  EXPECT_EQ(choice["stop_reason"], 'z');
  EXPECT_EQ(choice["message"]["content"], "");
}

TEST(ChatAnswer, GivesForcedCallsAsToolCalls) {
  AnswerPlan with = plan();
  with.tools = AnswerPlan::Tools::forced;
  with.call_id_prefix = "call_x";
  const auto answer = create_chat_answer(with, /*is_streamed=*/false);
  say(*answer, R"([{"name":"f","parameters":{"a":1}},{"name":"g","parameters":{}}])");
  end(*answer);
  finish(*answer, 9);
  const json choice = json::parse(answer->finish())["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  const json& calls = choice["message"]["tool_calls"];
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0]["function"], json::parse(R"({"name":"f","arguments":"{\"a\":1}"})"));
  EXPECT_EQ(calls[1]["type"], "function");
  EXPECT_NE(calls[0]["id"], calls[1]["id"]);
}

TEST(ChatAnswer, MakesNoCallThatWasCutOff) {
  using Tools = AnswerPlan::Tools;
  struct Case {
    Tools tools;
    std::string text;
  };
  const Case cases[] = {
      {Tools::named, R"({"a)"},
      {Tools::forced, R"([{"name":"f","parameters":{}},{"name":"g","parameters":{"a)"},
      {Tools::automatic, R"(<tool_call>{"name": "f", "arguments": {"a)"}};
  for (const Case& each : cases)
    for (const FinishReason reason : {FinishReason::stop, FinishReason::length}) {
      AnswerPlan with = plan();
      with.tools = each.tools;
      with.tool_name = "f";
      const auto answer = create_chat_answer(with, /*is_streamed=*/false);
      say(*answer, each.text);
      answer->take(0, serving::ChoiceEnd{.reason = reason});
      finish(*answer, 1);
      const json choice = json::parse(answer->finish())["choices"][0];
      EXPECT_EQ(choice["finish_reason"], to_string(reason)) << each.text;
    }
}

TEST(ChatAnswer, MakesTheOneCallThatMayBeThoughTokensRunOut) {
  AnswerPlan with = plan();
  with.tools = AnswerPlan::Tools::automatic;
  for (const CallLimit limit : {CallLimit::one, CallLimit::none}) {
    with.call_limit = limit;
    const auto answer = create_chat_answer(with, /*is_streamed=*/false);
    say(*answer, R"(<tool_call>{"name": "f", "arguments": {}}</tool_call> and)");
    answer->take(0, serving::ChoiceEnd{.reason = FinishReason::length});
    finish(*answer, 1);
    const json choice = json::parse(answer->finish())["choices"][0];
    EXPECT_EQ(choice["finish_reason"], limit == CallLimit::one ? "tool_calls" : "length");
  }
}

TEST(ChatAnswer, StreamsCallsInPiecesThatJoin) {
  AnswerPlan with = plan();
  with.tools = AnswerPlan::Tools::named;
  with.tool_name = "f";
  const auto answer = create_chat_answer(with, /*is_streamed=*/true);
  say(*answer, R"({"a": "b"})");
  end(*answer);
  finish(*answer, 9);
  std::string arguments;
  int num_names = 0;
  const std::vector<json> events = events_of(answer->finish());
  for (const json& event : events) {
    const json& delta = event["choices"][0]["delta"];
    if (!delta.contains("tool_calls")) continue;
    EXPECT_EQ(delta["tool_calls"][0]["index"], 0);
    num_names += delta["tool_calls"][0]["function"].contains("name");
    arguments += delta["tool_calls"][0]["function"]["arguments"].get<std::string>();
  }
  EXPECT_EQ(num_names, 1);
  EXPECT_EQ(arguments, R"({"a": "b"})");
  EXPECT_EQ(events.back()["choices"][0]["finish_reason"], "tool_calls");
}

TEST(ChatAnswer, EchoesAndGivesTokenIdsWhereAsked) {
  for (const bool is_streamed : {false, true}) {
    AnswerPlan with = plan();
    with.echo = true;
    with.prompts[0].echo = "Once ";
    with.return_token_ids = true;
    const auto answer = create_chat_answer(with, is_streamed);
    say(*answer, "up");
    end(*answer);
    finish(*answer, 2);
    if (is_streamed) {
      const std::vector<json> events = events_of(answer->finish());
      EXPECT_EQ(events.front()["prompt_token_ids"], json::parse("[104,105]"));
      EXPECT_EQ(content_of(events), "Once up");
    } else {
      const json body = json::parse(answer->finish());
      EXPECT_EQ(body["prompt_token_ids"], json::parse("[104,105]"));
      EXPECT_EQ(body["choices"][0]["token_ids"], json::parse("[117,112]"));
      EXPECT_EQ(body["choices"][0]["message"]["content"], "Once up");
    }
  }
}

TEST(ChatAnswer, GivesPromptLogprobsByTokenId) {
  AnswerPlan with = plan();
  with.prompt_logprobs = true;
  const auto answer = create_chat_answer(with, /*is_streamed=*/false);
  answer->take(0, serving::PromptEvent{.logprobs = {{{'i', -2.0F, 17}, {'x', -1.0F, 1}}}});
  end(*answer);
  finish(*answer, 0);
  const json logprobs = json::parse(answer->finish())["prompt_logprobs"];
  ASSERT_EQ(logprobs.size(), 2U);
  EXPECT_TRUE(logprobs[0].is_null());
  EXPECT_EQ(logprobs[1]["105"], json::parse(R"({"logprob":-2.0,"rank":17,"decoded_token":"i"})"));
  EXPECT_EQ(logprobs[1]["120"]["rank"], 1);
}

TEST(CompletionAnswer, NumbersChoicesAcrossPrompts) {
  AnswerPlan with = plan();
  with.prompts.push_back({.tokens = {'y'}});
  with.n = with.num_generated = 2;
  const auto answer = create_completion_answer(with, /*is_streamed=*/false);
  for (const size_t prompt_idx : {size_t{1}, size_t{0}}) {
    for (const int64_t choice : {0, 1}) {
      say(*answer, std::to_string(prompt_idx) + std::to_string(choice), choice, prompt_idx);
      end(*answer, FinishReason::length, choice, prompt_idx);
    }
    finish(*answer, 4, prompt_idx);
  }
  const json body = json::parse(answer->finish());
  EXPECT_EQ(body["object"], "text_completion");
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(body["choices"][i]["index"], i);
    EXPECT_EQ(body["choices"][i]["text"], std::to_string(i / 2) + std::to_string(i % 2));
  }
  EXPECT_EQ(body["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(body["usage"]["completion_tokens"], 8);
}

TEST(CompletionAnswer, GivesTheBestOfSeveralByMeanLogprob) {
  AnswerPlan with = plan();
  with.n = 1;
  with.num_generated = 2;
  const auto answer = create_completion_answer(with, /*is_streamed=*/false);
  for (const char c : std::string("long"))
    answer->take(0, serving::TokenEvent{.choice = 1, .token = c, .logprob = -1.0F});
  answer->take(0, serving::TokenEvent{.choice = 0, .token = 'x', .logprob = -1.5F});
  end(*answer, FinishReason::stop, 0);
  end(*answer, FinishReason::stop, 1);
  finish(*answer, 5);
  const json body = json::parse(answer->finish());
  ASSERT_EQ(body["choices"].size(), 1U);
  EXPECT_EQ(body["choices"][0]["text"], "long");
  EXPECT_EQ(body["choices"][0]["index"], 0);
}

TEST(CompletionAnswer, GivesLogprobsOfAnEchoWithOffsetsInCharacters) {
  for (const bool is_streamed : {false, true}) {
    AnswerPlan with = plan({'h', 0xC3, 0xBC});
    with.echo = true;
    with.logprobs = true;
    with.prompts[0].echo = "hü";
    const auto answer = create_completion_answer(with, is_streamed);
    answer->take(0, serving::PromptEvent{.logprobs = {{{0xC3, -1.0F}, {'x', -0.5F}},
                                                      {{0xBC, -2.0F}, {0xBC, -2.0F}}}});
    answer->take(0, serving::TokenEvent{.token = '!', .logprob = -3.0F, .top = {{'?', -0.25F}}});
    end(*answer);
    finish(*answer, 1);
    json logprobs = json::object();
    std::string text;
    const auto take = [&](const json& choice) {
      text += choice["text"].get<std::string>();
      if (choice["logprobs"].is_null()) return;
      for (const auto& [key, list] : choice["logprobs"].items())
        for (const json& item : list) logprobs[key].push_back(item);
    };
    if (is_streamed) {
      for (const json& event : events_of(answer->finish())) take(event["choices"][0]);
    } else {
      take(json::parse(answer->finish())["choices"][0]);
    }
    EXPECT_EQ(text, "hü!");
    EXPECT_EQ(logprobs["tokens"], json::parse(R"(["h","\ufffd","\ufffd","!"])"));
    EXPECT_EQ(logprobs["token_logprobs"], json::parse("[null,-1.0,-2.0,-3.0]"));
    EXPECT_EQ(logprobs["text_offset"], json::parse("[0,1,1,2]"));
    EXPECT_EQ(logprobs["top_logprobs"][3], json::parse(R"({"?":-0.25,"!":-3.0})"));
  }
}

TEST(CompletionAnswer, CountsSpecialTokensInOffsetsWhereTheTextShowsThem) {
  for (const auto special : {text::SpecialTokens::skip, text::SpecialTokens::keep}) {
    AnswerPlan with = plan();
    with.logprobs = true;
    with.special = special;
    const auto answer = create_completion_answer(with, /*is_streamed=*/false);
    for (const int32_t token : {int32_t{'a'}, BytePieces::kEnd, int32_t{'b'}})
      answer->take(0, serving::TokenEvent{.token = token, .logprob = -1.0F});
    end(*answer);
    finish(*answer, 3);
    const json choice = json::parse(answer->finish())["choices"][0];
    const std::string text = choice["text"];
    EXPECT_EQ(choice["logprobs"]["text_offset"][2], text.find('b')) << text;
  }
}

TEST(CompletionAnswer, HoldsNothingButTheEchoWhereThatIsAll) {
  AnswerPlan with = plan();
  with.echo = with.is_echo_only = true;
  with.prompts[0].echo = "hi";
  const auto answer = create_completion_answer(with, /*is_streamed=*/false);
  say(*answer, "x");
  end(*answer, FinishReason::length);
  finish(*answer, 1);
  const json body = json::parse(answer->finish());
  EXPECT_EQ(body["choices"][0]["text"], "hi");
  EXPECT_EQ(body["usage"]["completion_tokens"], 0);
}

}  // namespace
}  // namespace veloz::http::openai
