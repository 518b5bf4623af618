// SPDX-License-Identifier: Apache-2.0
#include "http/metrics.h"

#include <gtest/gtest.h>

#include <string>

namespace veloz::http {
namespace {

/// The value of the line that starts so.
std::string value_of(const std::string& text, const std::string& series) {
  const size_t line = text.find("\n" + series + " ");
  if (line == std::string::npos) return "absent";
  const size_t start = line + series.size() + 2;
  return text.substr(start, text.find('\n', start) - start);
}

const std::string kLabels = R"({engine="0",model_name="tiny"})";

TEST(Metrics, TellsTheExecutorsNumbersAsGaugesAndCounters) {
  Metrics metrics({.model_name = "tiny"});
  serving::ExecutorStats stats;
  stats.num_running = 3;
  stats.num_waiting = 2;
  stats.num_blocks = 8;
  stats.num_free_blocks = 6;
  stats.num_preemptions = 4;
  stats.num_prefix_queries = 100;
  stats.num_prefix_hits = 64;
  stats.compute_cpu_s = 1.5;
  for (int reading = 0; reading < 2; ++reading) {  // counters stay where they are
    const std::string text = metrics.text(stats);
    EXPECT_EQ(value_of(text, "veloz:num_requests_running" + kLabels), "3");
    EXPECT_EQ(value_of(text, "veloz:num_requests_waiting" + kLabels), "2");
    EXPECT_EQ(value_of(text, "veloz:kv_cache_usage_perc" + kLabels), "0.25");
    EXPECT_EQ(value_of(text, "veloz:num_preemptions_total" + kLabels), "4");
    EXPECT_EQ(value_of(text, "veloz:prefix_cache_queries_total" + kLabels), "100");
    EXPECT_EQ(value_of(text, "veloz:prefix_cache_hits_total" + kLabels), "64");
    EXPECT_EQ(value_of(text, "veloz:engine_compute_cpu_seconds_total" + kLabels), "1.5");
  }
}

TEST(Metrics, CountsAnEndedRequestOnceInEveryHistogram) {
  Metrics metrics({.prefix = "vllm:", .model_name = "tiny"});
  metrics.on_request_end({.finished_reason = "length",
                          .num_prompt_tokens = 10,
                          .num_output_tokens = 5,
                          .max_choice_tokens = 4,
                          .n = 2,
                          .max_tokens = 5,
                          .queue_s = 0.1,
                          .prefill_s = 0.2,
                          .decode_s = 0.3,
                          .total_s = 0.6});
  const std::string text = metrics.text({});
  EXPECT_EQ(value_of(text,
                     "vllm:request_success_total{engine=\"0\",finished_reason=\"length\","
                     "model_name=\"tiny\"}"),
            "1");
  for (const std::string name :
       {"e2e_request_latency_seconds", "request_queue_time_seconds", "request_prompt_tokens",
        "request_inference_time_seconds", "request_prefill_time_seconds",
        "request_decode_time_seconds", "request_generation_tokens", "request_params_n",
        "request_max_num_generation_tokens", "request_params_max_tokens"})
    EXPECT_EQ(value_of(text, "vllm:" + name + "_count" + kLabels), "1") << name;
  EXPECT_EQ(value_of(text, "vllm:request_inference_time_seconds_sum" + kLabels), "0.5");
  EXPECT_EQ(value_of(text, "vllm:request_generation_tokens_sum" + kLabels), "5");
  EXPECT_EQ(value_of(text, "vllm:request_max_num_generation_tokens_sum" + kLabels), "4");
}

TEST(Metrics, CountsTokensAsTheyCome) {
  Metrics metrics({.model_name = "tiny"});
  metrics.on_prompt(10);
  metrics.on_token();
  metrics.on_token();
  metrics.on_request_end(
      {.finished_reason = "length", .num_prompt_tokens = 10, .num_output_tokens = 2});
  const std::string text = metrics.text({});
  EXPECT_EQ(value_of(text, "veloz:prompt_tokens_total" + kLabels), "10");
  EXPECT_EQ(value_of(text, "veloz:generation_tokens_total" + kLabels), "2");
}

TEST(Metrics, PutsAValueOnABoundaryIntoTheBucketThatEndsThere) {
  Metrics metrics({.model_name = "tiny"});
  metrics.on_first_token(0.25);
  metrics.on_inter_token(0.05);
  const std::string text = metrics.text({});
  const auto bucket = [&](const std::string& name, const std::string& le) {
    return value_of(
        text, "veloz:" + name + "_bucket{engine=\"0\",model_name=\"tiny\",le=\"" + le + "\"}");
  };
  EXPECT_EQ(bucket("time_to_first_token_seconds", "0.1"), "0");
  EXPECT_EQ(bucket("time_to_first_token_seconds", "0.25"), "1");
  EXPECT_EQ(bucket("time_to_first_token_seconds", "2560"), "1");
  EXPECT_EQ(bucket("inter_token_latency_seconds", "0.025"), "0");
  EXPECT_EQ(bucket("inter_token_latency_seconds", "0.05"), "1");
  EXPECT_EQ(bucket("time_per_output_token_seconds", "+Inf"), "1");
}

TEST(Metrics, CountsTheTokensOfSteps) {
  Metrics metrics({.model_name = "tiny"});
  serving::StepRecord record;
  record.num_prefill_tokens = 30;
  record.num_decode_tokens = 3;
  metrics.on_step(record);
  EXPECT_EQ(value_of(metrics.text({}), "veloz:iteration_tokens_total_sum" + kLabels), "33");
}

TEST(Metrics, DescribesTheCacheAndEveryFamily) {
  Metrics metrics({.model_name = "tiny", .cache_config = {{"block_size", "64"}}});
  const std::string text = metrics.text({});
  EXPECT_NE(text.find("veloz:cache_config_info{block_size=\"64\",engine=\"0\","),
            std::string::npos);
  EXPECT_NE(text.find("# TYPE veloz:num_requests_running gauge"), std::string::npos);
  EXPECT_NE(text.find("# TYPE veloz:prompt_tokens_total counter"), std::string::npos);
  EXPECT_NE(text.find("# TYPE veloz:time_to_first_token_seconds histogram"), std::string::npos);
}

}  // namespace
}  // namespace veloz::http
