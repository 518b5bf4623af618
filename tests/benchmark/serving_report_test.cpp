// SPDX-License-Identifier: Apache-2.0
#include "benchmark/serving_report.h"

#include <gtest/gtest.h>

#include <array>

#include "support/expect_error.h"

namespace veloz::benchmark {
namespace {

Summary summary(double mean) {
  return {.mean = mean, .median = mean + 1, .std = 2, .percentiles = {{99, mean + 3}}};
}

ServingMetrics some_metrics() {
  ServingMetrics metrics;
  metrics.duration_s = 12.3456;
  metrics.num_completed = 100;
  metrics.num_failed = 2;
  metrics.num_input_tokens = 12800;
  metrics.num_output_tokens = 6400;
  metrics.request_throughput = 8.1;
  metrics.request_goodput = 7.5;
  metrics.output_throughput = 518.4;
  metrics.peak_output_throughput = 640;
  metrics.peak_concurrent_requests = 16;
  metrics.total_token_throughput = 1555.2;
  metrics.latencies_ms = {summary(100), summary(20), summary(30), summary(2000)};
  return metrics;
}

TEST(ServingTable, IsTheOneThatScriptsParse) {
  // Trailing blanks are part of the layout.
  EXPECT_EQ(serving_table(some_metrics(),
                          {.max_concurrency = 16, .request_rate = 8.5, .has_goodput = true}),
            "============ Serving Benchmark Result ============\n"
            "Successful requests:                     100       \n"
            "Failed requests:                         2         \n"
            "Maximum request concurrency:             16        \n"
            "Request rate configured (RPS):           8.50      \n"
            "Benchmark duration (s):                  12.35     \n"
            "Total input tokens:                      12800     \n"
            "Total generated tokens:                  6400      \n"
            "Request throughput (req/s):              8.10      \n"
            "Request goodput (req/s):                 7.50      \n"
            "Output token throughput (tok/s):         518.40    \n"
            "Peak output token throughput (tok/s):    640.00    \n"
            "Peak concurrent requests:                16.00     \n"
            "Total token throughput (tok/s):          1555.20   \n"
            "---------------Time to First Token----------------\n"
            "Mean TTFT (ms):                          100.00    \n"
            "Median TTFT (ms):                        101.00    \n"
            "P99 TTFT (ms):                           103.00    \n"
            "-----Time per Output Token (excl. 1st token)------\n"
            "Mean TPOT (ms):                          20.00     \n"
            "Median TPOT (ms):                        21.00     \n"
            "P99 TPOT (ms):                           23.00     \n"
            "---------------Inter-token Latency----------------\n"
            "Mean ITL (ms):                           30.00     \n"
            "Median ITL (ms):                         31.00     \n"
            "P99 ITL (ms):                            33.00     \n"
            "==================================================\n");
}

TEST(ServingTable, LeavesOutWhatWasNotAskedFor) {
  const std::string table =
      serving_table(some_metrics(), {.latencies = parse_percentile_metrics("e2el")});
  EXPECT_EQ(table.find("concurrency:"), std::string::npos);
  EXPECT_EQ(table.find("configured"), std::string::npos);
  EXPECT_EQ(table.find("goodput"), std::string::npos);
  EXPECT_EQ(table.find("TTFT"), std::string::npos);
  EXPECT_NE(table.find("----------------End-to-end Latency----------------\n"
                       "Mean E2EL (ms):                          2000.00   \n"),
            std::string::npos);
}

TEST(ServingJson, HasTheNamesOfSaveResult) {
  const auto json = serving_json(some_metrics(), {.has_goodput = true});
  EXPECT_EQ(json.at("completed"), 100);
  EXPECT_EQ(json.at("failed"), 2);
  EXPECT_EQ(json.at("total_output_tokens"), 6400);
  EXPECT_EQ(json.at("request_goodput"), 7.5);
  EXPECT_EQ(json.at("mean_ttft_ms"), 100);
  EXPECT_EQ(json.at("median_tpot_ms"), 21);
  EXPECT_EQ(json.at("std_itl_ms"), 2);
  EXPECT_EQ(json.at("p99_itl_ms"), 33);
  EXPECT_FALSE(json.contains("mean_e2el_ms"));
}

TEST(ServingJson, GoodputIsNullWhereThereAreNoLimits) {
  EXPECT_TRUE(serving_json(some_metrics(), {}).at("request_goodput").is_null());
}

TEST(ServingJson, DetailsAreListsWithAnEntryPerRequest) {
  RequestResult fine, failed;
  fine.itls_s = {0.5, 0.25};
  fine.text = "hi";
  failed.error = "HTTP 500: oh";
  auto json = serving_json(some_metrics(), {});
  add_details(json, std::array{fine, failed});
  EXPECT_EQ(json.at("itls").dump(), "[[0.5,0.25],[]]");
  EXPECT_EQ(json.at("generated_texts").dump(), R"(["hi",""])");
  EXPECT_EQ(json.at("errors").dump(), R"(["","HTTP 500: oh"])");
}

TEST(PercentileMetrics, RefusesUnknownNames) {
  for (const char* bad : {"", "ttft,", "latency", "ttft tpot"})
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--percentile-metrics", "ttft, tpot"},
                                   [&] { parse_percentile_metrics(bad); }))
        << bad;
}

}  // namespace
}  // namespace veloz::benchmark
