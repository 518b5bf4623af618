// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "benchmark/statistics.h"

namespace veloz::benchmark {

/// What became of one request, in seconds. Chunks that carry text are what a client sees of tokens:
/// where a server puts several tokens into one, ITL is between chunks while TPOT counts tokens.
struct RequestResult {
  std::string error;              // why it failed; empty: it did not
  std::string group;              // of its prompt, "" where there are none
  double start_s = 0;             // sent, from the start of the run
  double queue_s = 0;             // waited for --max-concurrency before it was sent
  double ttft_s = 0;              // from sent to the first text
  double latency_s = 0;           // from sent to the end
  std::vector<double> itls_s;     // between chunks
  int64_t num_prompt_tokens = 0;  // as the server counts, else as the dataset
  int64_t num_output_tokens = 0;  // as the server counts, else the chunks
  std::string text;               // generated

  bool is_ok() const { return error.empty(); }
  /// Time per output token after the first; 0 where there is only one.
  double tpot_s() const;
};

/// Limits that make a request a good one; absent: any value is good.
struct Goodput {
  std::optional<double> ttft_ms = {}, tpot_ms = {}, e2el_ms = {};

  bool is_set() const { return ttft_ms || tpot_ms || e2el_ms; }
  bool is_good(const RequestResult& result) const;
};

/// "ttft:200", "tpot:50", "e2el:3000" (milliseconds). Throws Error(invalid_input).
Goodput parse_goodput(std::span<const std::string> limits);

/// The four latencies of `vllm bench serve`, in milliseconds.
struct LatencySummaries {
  Summary ttft, tpot, itl, e2el;
};

struct ServingMetrics {
  double duration_s = 0;
  int64_t num_completed = 0;
  int64_t num_failed = 0;
  int64_t num_good = 0;  // of Goodput
  int64_t num_input_tokens = 0;
  int64_t num_output_tokens = 0;
  double request_throughput = 0;      // completed requests/s
  double request_goodput = 0;         // good requests/s
  double output_throughput = 0;       // tokens/s
  double total_token_throughput = 0;  // tokens/s, input and output
  double peak_output_throughput = 0;  // chunks in the best whole second
  int64_t peak_concurrent_requests = 0;
  LatencySummaries latencies_ms;
};

struct MetricsOptions {
  std::vector<double> ranks = {99};
  Goodput goodput = {};
};

/// Over the requests that did not fail; failed ones are only counted. TPOT is over requests of two
/// tokens or more.
ServingMetrics measure(std::span<const RequestResult> results, double duration_s,
                       const MetricsOptions& options);

/// How often each error came, most frequent first, at most `max_kinds` of them.
struct ErrorCount {
  std::string message;
  int64_t count = 0;
};
std::vector<ErrorCount> count_errors(std::span<const RequestResult> results, size_t max_kinds);

}  // namespace veloz::benchmark
