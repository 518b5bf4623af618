// SPDX-License-Identifier: Apache-2.0
// The parts operators look at: readiness, statistics, trace, log lines.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "http/log.h"
#include "http/readiness.h"
#include "http/stats_line.h"
#include "http/step_history.h"

namespace veloz::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

serving::StepRecord step(int64_t number, int64_t num_prefill_tokens, int64_t num_decode_tokens) {
  serving::StepRecord record;
  record.number = number;
  record.start = steady_clock::time_point{} + milliseconds(number);
  record.duration_s = 0.0005;
  record.predicted_s = 0.0004;
  record.num_prefill_tokens = num_prefill_tokens;
  record.num_decode_tokens = num_decode_tokens;
  record.num_seqs = num_decode_tokens;
  return record;
}

TEST(Readiness, IsThereWhileIdleAndWhileStepsTakeTheirTime) {
  const auto now = steady_clock::now();
  serving::ExecutorStats stats;
  EXPECT_EQ(why_not_ready(stats, now, {}), "");
  stats.step_start = now - milliseconds(1900);
  stats.step_predicted_s = 0.1;
  EXPECT_EQ(why_not_ready(stats, now, {}), "") << "short steps may be late by seconds";
  stats.step_start = now - seconds(9);
  stats.step_predicted_s = 1;
  EXPECT_EQ(why_not_ready(stats, now, {}), "") << "long ones by their factor";
}

TEST(Readiness, EndsWhereAStepTakesFarLongerThanPredicted) {
  const auto now = steady_clock::now();
  serving::ExecutorStats stats;
  stats.step_start = now - milliseconds(2100);
  stats.step_predicted_s = 0.1;
  EXPECT_EQ(why_not_ready(stats, now, {}), "a step has taken 2.1 s, predicted were 0.100 s");
  EXPECT_TRUE(is_step_slow(stats, now, {}));
}

TEST(Readiness, EndsWhereStepsFailOneAfterTheOther) {
  const auto now = steady_clock::now();
  serving::ExecutorStats stats;
  stats.num_failed_steps = 1;
  stats.step_error = "waiting for the device: unspecified launch failure";
  EXPECT_EQ(why_not_ready(stats, now, {}), "") << "one may have been a request's fault";
  stats.num_failed_steps = 2;
  EXPECT_EQ(why_not_ready(stats, now, {}),
            "the last 2 steps failed: waiting for the device: unspecified launch failure");
}

TEST(Readiness, EndsWhereTheQueueIsFull) {
  serving::ExecutorStats stats;
  stats.num_waiting = 8;
  stats.num_queued_tokens = 1000;
  const auto now = steady_clock::now();
  EXPECT_EQ(why_not_ready(stats, now, {.max_queued_requests = 9, .max_queued_tokens = 1001}), "");
  EXPECT_EQ(why_not_ready(stats, now, {.max_queued_requests = 8}),
            "the queue is full: 8 requests wait");
  EXPECT_EQ(why_not_ready(stats, now, {.max_queued_tokens = 1000}),
            "the queue is full: 1000 prompt tokens wait");
}

TEST(StepHistory, KeepsTheLastStepsInOrderAndCountsAll) {
  StepHistory history(3);
  for (int64_t number = 0; number < 5; ++number) {
    history.add(step(number, 10, 1));
    ASSERT_EQ(history.records().back().number, number);
  }
  const auto records = history.records();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].number, 2);
  EXPECT_EQ(records[2].number, 4);
  EXPECT_EQ(history.totals().num_steps, 5);
  EXPECT_EQ(history.totals().num_prefill_tokens, 50);
  EXPECT_EQ(history.totals().num_decode_tokens, 5);
}

TEST(ChromeTrace, HasASliceAndCountersForEachStep) {
  const auto trace = nlohmann::json::parse(to_chrome_trace({step(7, 30, 2)}));
  const auto& events = trace.at("traceEvents");
  ASSERT_EQ(events.size(), 4u);
  const auto& slice = events[2];
  EXPECT_EQ(slice.at("ph"), "X");
  EXPECT_EQ(slice.at("ts"), 7000.0);
  EXPECT_EQ(slice.at("dur"), 500.0);
  EXPECT_EQ(slice.at("args").at("number"), 7);
  EXPECT_EQ(slice.at("args").at("predicted_ms"), 0.4);
  EXPECT_EQ(events[3].at("ph"), "C");
  EXPECT_EQ(events[3].at("args").at("prefill_tokens"), 30);
}

TEST(ChromeTrace, OfNothingIsStillATrace) {
  EXPECT_EQ(nlohmann::json::parse(to_chrome_trace({})).at("traceEvents").size(), 2u);
}

TEST(StatsLine, TellsTheThroughputSinceTheLast) {
  const auto start = steady_clock::time_point{};
  StatsLine line(start);
  serving::ExecutorStats stats;
  stats.num_running = 2;
  stats.num_waiting = 1;
  stats.num_blocks = 10;
  stats.num_free_blocks = 5;
  stats.num_prefix_queries = 8;
  stats.num_prefix_hits = 2;
  line.next({.num_steps = 1, .num_prefill_tokens = 100, .num_decode_tokens = 10}, stats,
            start + seconds(10));
  EXPECT_EQ(
      line.next({.num_steps = 2, .num_prefill_tokens = 300, .num_decode_tokens = 35}, stats,
                start + seconds(20)),
      "Avg prompt throughput: 20.0 tokens/s, Avg generation throughput: 2.5 tokens/s, "
      "Running: 2 reqs, Waiting: 1 reqs, KV cache usage: 50.0%, Prefix cache hit rate: 25.0%");
}

TEST(StatsLine, IsSilentWhereNothingHappens) {
  const auto start = steady_clock::time_point{};
  StatsLine line(start);
  EXPECT_FALSE(line.next({}, {}, start + seconds(10)));
  EXPECT_TRUE(line.next({.num_steps = 1}, {}, start + seconds(20)));
  EXPECT_FALSE(line.next({.num_steps = 1}, {}, start + seconds(30)));
}

TEST(Log, WritesKeysAndValuesQuotedWhereNeeded) {
  std::vector<std::string> lines;
  Log log(LogFormat::text, [&](const std::string& line) { lines.push_back(line); });
  log.warning("odd", {{"plain", "a-b"}, {"n", 3}, {"spaced", "a b\n"}, {"empty", ""}});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].substr(24), R"( warning odd plain=a-b n=3 spaced="a b\n" empty="")");
  EXPECT_EQ(lines[0][10], 'T');
  EXPECT_EQ(lines[0][23], 'Z');
}

TEST(Log, WritesEventsWithOneFieldOrNone) {
  for (const LogFormat format : {LogFormat::text, LogFormat::json}) {
    std::vector<std::string> lines;
    Log log(format, [&](const std::string& line) { lines.push_back(line); });
    log.info("some", {{"key", "value"}});
    log.info("none", {});
    ASSERT_EQ(lines.size(), 2u);
    const bool is_json = format == LogFormat::json;
    EXPECT_TRUE(
        lines[0].ends_with(is_json ? R"("event":"some","key":"value"})" : " info some key=value"))
        << lines[0];
    EXPECT_TRUE(lines[1].ends_with(is_json ? R"("event":"none"})" : " info none")) << lines[1];
  }
}

TEST(Log, WritesOneJsonObjectALine) {
  std::vector<std::string> lines;
  Log log(LogFormat::json, [&](const std::string& line) { lines.push_back(line); });
  log.info("request", {{"id", "x\xff\n"}, {"status", 200}});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].find('\n'), std::string::npos);
  const auto object = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(object.at("level"), "info");
  EXPECT_EQ(object.at("event"), "request");
  EXPECT_EQ(object.at("status"), 200);
  EXPECT_EQ(object.at("ts").get<std::string>().size(), 24u);
}

}  // namespace
}  // namespace veloz::http
