// SPDX-License-Identifier: Apache-2.0
#include "http/observed_exchange.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "http/fake_exchange.h"

namespace veloz::http {
namespace {

struct Observation {
  std::shared_ptr<FakeExchange> inner = std::make_shared<FakeExchange>(
      net::Request{.method = "POST", .path = "/v1/x", .peer = "127.0.0.1", .id = "id-1"});
  std::vector<AccessRecord> records;
  std::shared_ptr<ObservedExchange> exchange = std::make_shared<ObservedExchange>(
      inner, net::Headers{{"Vary", "Origin"}},
      [this](const AccessRecord& record) { records.push_back(record); });
};

TEST(ObservedExchange, TellsOfAnAnswerOnce) {
  Observation seen;
  seen.exchange->set_key_name("alice");
  seen.exchange->respond({.status = 400, .body = "12345"});
  seen.exchange.reset();
  ASSERT_EQ(seen.records.size(), 1u);
  EXPECT_EQ(seen.records[0].id, "id-1");
  EXPECT_EQ(seen.records[0].method, "POST");
  EXPECT_EQ(seen.records[0].path, "/v1/x");
  EXPECT_EQ(seen.records[0].peer, "127.0.0.1");
  EXPECT_EQ(seen.records[0].key_name, "alice");
  EXPECT_EQ(seen.records[0].status, 400);
  EXPECT_EQ(seen.records[0].num_bytes, 5);
  EXPECT_GE(seen.records[0].duration_s, 0);
  EXPECT_EQ(seen.inner->header("Vary"), "Origin");
}

TEST(ObservedExchange, TellsOfAStreamAtItsEnd) {
  Observation seen;
  seen.exchange->start_stream({});
  EXPECT_TRUE(seen.exchange->write("abc"));
  note_generation(*seen.exchange, {.num_output_tokens = 3, .ttft_s = 0.5});
  EXPECT_TRUE(seen.records.empty());
  seen.exchange->finish();
  ASSERT_EQ(seen.records.size(), 1u);
  EXPECT_EQ(seen.records[0].status, 200);
  EXPECT_EQ(seen.records[0].num_bytes, 3);
  EXPECT_EQ(seen.records[0].generation->num_output_tokens, 3);
  EXPECT_TRUE(seen.inner->is_finished);
}

TEST(ObservedExchange, CallsItAClosedRequestWhereTheClientLeft) {
  Observation streamed;
  streamed.exchange->start_stream({});
  streamed.inner->is_gone = true;
  EXPECT_FALSE(streamed.exchange->write("abc"));
  EXPECT_EQ(streamed.records.at(0).status, 499);

  Observation waiting;
  bool is_told = false;
  waiting.exchange->on_abort([&] { is_told = true; });
  waiting.inner->abort_callback();
  EXPECT_TRUE(is_told);
  waiting.exchange.reset();
  EXPECT_EQ(waiting.records.at(0).status, 499);
}

TEST(ObservedExchange, CallsItAnErrorWhereNobodyAnswers) {
  Observation seen;
  seen.exchange.reset();
  EXPECT_EQ(seen.records.at(0).status, 500);
}

TEST(ObservedExchange, CallsAStreamThatWasNotFinishedCut) {
  Observation seen;
  seen.exchange->start_stream({});
  seen.exchange.reset();
  EXPECT_EQ(seen.records.at(0).status, 499);
}

}  // namespace
}  // namespace veloz::http
