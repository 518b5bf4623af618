// SPDX-License-Identifier: Apache-2.0
#include "benchmark/answer_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace veloz::benchmark {
namespace {

constexpr double kSent = 10;

AnswerReader reading_a_stream() {
  AnswerReader reader(kSent);
  reader.on_head(200, "text/event-stream; charset=utf-8");
  return reader;
}

void event(AnswerReader& reader, const std::string& data, double now_s) {
  reader.on_data("data: " + data + "\n\n", now_s);
}

void text(AnswerReader& reader, const std::string& piece, double now_s) {
  event(reader, R"({"choices":[{"index":0,"text":")" + piece + R"(","finish_reason":null}]})",
        now_s);
}

void end(AnswerReader& reader, double now_s) {
  event(reader, R"({"choices":[{"index":0,"text":"","finish_reason":"length"}]})", now_s);
  event(reader, "[DONE]", now_s);
}

RequestResult finished(const AnswerReader& reader, std::string_view transport_error = "") {
  RequestResult result;
  result.num_prompt_tokens = 7;
  reader.finish(transport_error, result);
  return result;
}

TEST(AnswerReader, TimesTheFirstTextAndThePausesBetween) {
  AnswerReader reader = reading_a_stream();
  text(reader, "a", 10.5);
  text(reader, "b", 10.75);
  text(reader, "c", 11.25);
  end(reader, 11.5);
  const RequestResult result = finished(reader);
  EXPECT_TRUE(result.is_ok()) << result.error;
  EXPECT_DOUBLE_EQ(result.start_s, kSent);
  EXPECT_DOUBLE_EQ(result.ttft_s, 0.5);
  EXPECT_EQ(result.itls_s, (std::vector<double>{0.25, 0.5}));
  EXPECT_DOUBLE_EQ(result.latency_s, 1.5);
  EXPECT_EQ(result.text, "abc");
}

TEST(AnswerReader, TakesTokenCountsFromUsage) {
  AnswerReader reader = reading_a_stream();
  text(reader, "two tokens", 11);
  event(reader, R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}})", 11);
  end(reader, 11);
  const RequestResult result = finished(reader);
  EXPECT_TRUE(reader.has_usage());
  EXPECT_EQ(result.num_prompt_tokens, 9);
  EXPECT_EQ(result.num_output_tokens, 2);
}

TEST(AnswerReader, CountsChunksWhereThereIsNoUsage) {
  AnswerReader reader = reading_a_stream();
  text(reader, "a", 11);
  text(reader, "b", 12);
  event(reader, R"({"choices":[],"usage":null})", 12);
  end(reader, 12);
  const RequestResult result = finished(reader);
  EXPECT_FALSE(reader.has_usage());
  EXPECT_EQ(result.num_prompt_tokens, 7);
  EXPECT_EQ(result.num_output_tokens, 2);
}

TEST(AnswerReader, AChatsRoleIsNoFirstToken) {
  AnswerReader reader = reading_a_stream();
  event(reader, R"({"choices":[{"delta":{"role":"assistant","content":""}}]})", 10.1);
  event(reader, R"({"choices":[{"delta":{"content":"x"}}]})", 10.4);
  event(reader, R"({"choices":[{"delta":{"reasoning_content":"y"}}]})", 10.6);
  end(reader, 10.6);
  const RequestResult result = finished(reader);
  EXPECT_NEAR(result.ttft_s, 0.4, 1e-9);
  EXPECT_EQ(result.itls_s.size(), 1u);
  EXPECT_EQ(result.text, "xy");
}

TEST(AnswerReader, AnAnswerWithoutTextHasItsEndAsFirstSign) {
  AnswerReader reader = reading_a_stream();
  end(reader, 10.3);
  const RequestResult result = finished(reader);
  EXPECT_TRUE(result.is_ok());
  EXPECT_NEAR(result.ttft_s, 0.3, 1e-9);
  EXPECT_EQ(result.num_output_tokens, 0);
}

TEST(AnswerReader, ARefusalIsAnErrorWithStatusAndMessage) {
  AnswerReader reader(kSent);
  reader.on_head(429, "application/json");
  reader.on_data(R"({"error": {"message": "too many )", 10.1);
  reader.on_data(R"(requests", "code": 429}})", 10.1);
  EXPECT_EQ(finished(reader).error, "HTTP 429: too many requests");
}

TEST(AnswerReader, AnErrorInTheStreamIsAnError) {
  AnswerReader reader = reading_a_stream();
  text(reader, "a", 11);
  event(reader, R"({"error":{"message":"engine died"}})", 11);
  EXPECT_EQ(finished(reader).error, "in the stream: engine died");
}

TEST(AnswerReader, AStreamThatBreaksOffIsAnError) {
  AnswerReader reader = reading_a_stream();
  text(reader, "a", 11);
  EXPECT_EQ(finished(reader).error, "the stream ended without a finish reason");
  EXPECT_EQ(finished(reader, "connection reset").error, "connection reset");
}

TEST(AnswerReader, AnAnswerThatIsNoStreamIsAnError) {
  AnswerReader reader(kSent);
  reader.on_head(200, "text/html");
  reader.on_data("<html>", 11);
  EXPECT_EQ(finished(reader).error, "the answer is no event stream: <html>");
}

TEST(AnswerReader, EventsThatAreNoJsonAreAnError) {
  for (const char* bad : {"{", "[]", "7"}) {
    AnswerReader reader = reading_a_stream();
    event(reader, bad, 11);
    end(reader, 11);
    EXPECT_EQ(finished(reader).error, "an event is no JSON object") << bad;
  }
}

TEST(AnswerReader, OddlyTypedFieldsAreNoCrash) {
  AnswerReader reader = reading_a_stream();
  event(reader, R"({"choices":[1,{"text":5,"delta":"x"}],"usage":[]})", 11);
  event(reader, R"({"choices":{},"usage":{"prompt_tokens":"many"}})", 11);
  end(reader, 11);
  EXPECT_TRUE(finished(reader).is_ok());
}

}  // namespace
}  // namespace veloz::benchmark
