// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "benchmark/dataset.h"
#include "benchmark/statistics.h"
#include "veloz/llm.h"

namespace veloz::benchmark {

/// What the benchmarks without a server sample with: no early end, all filters neutral.
struct OfflineOptions {
  double temperature = 1;
  uint64_t seed = 0;
  int64_t num_beams = 1;  // > 1: beam search, whatever the temperature
  std::function<bool()> should_stop = {};
  std::function<void(int64_t)> on_progress = {};  // requests, or iterations, that have ended
};

/// What became of one request, cancelled ones included.
struct EndedRequest {
  double end_s = 0;  // since all were submitted
  bool is_complete = true;
  double ttft_s = 0;  // since all were submitted
  int64_t num_output_tokens = 0;
};

struct Throughput {
  double elapsed_s = 0;
  int64_t num_requests = 0;  // that were completed
  int64_t num_prompt_tokens = 0;
  int64_t num_output_tokens = 0;
  std::vector<EndedRequest> ended = {};
};

/// Requests completed per second between two moments: of a stream that neither begins nor runs dry
/// there, the rate at which it is served.
double completion_rate(const Throughput& throughput, double from_s, double to_s);

/// All requests at once. Throws the first request's error where one fails.
Throughput measure_throughput(LLM& llm, std::span<const SampleRequest> requests,
                              const OfflineOptions& options);

/// The lines and names of `vllm bench throughput`.
std::string throughput_text(const Throughput& throughput);
nlohmann::ordered_json throughput_json(const Throughput& throughput);

struct LatencyOptions {
  int64_t input_len = 32;
  int64_t output_len = 128;
  int64_t batch_size = 8;
  int64_t num_iters_warmup = 10;
  int64_t num_iters = 30;
};

struct Latency {
  std::vector<double> batch_s;  // of each iteration
  std::vector<double> ttft_ms;  // of each request
  std::vector<double> tpot_ms;  // after the first token; empty for one token
  std::vector<double> step_ms;  // of each iteration: TPOT of the request that began last, which is
                                // the time of a step in which all are decoding
};

/// The same batch shape over and over, each time with other random tokens. Throws
/// Error(invalid_input) for numbers that are impossible.
Latency measure_latency(LLM& llm, const LatencyOptions& shape, const OfflineOptions& options);

/// The lines and names of `vllm bench latency`, and TTFT and TPOT at the ranks given.
std::string latency_text(const Latency& latency, std::span<const double> ranks);
nlohmann::ordered_json latency_json(const Latency& latency, std::span<const double> ranks);

}  // namespace veloz::benchmark
