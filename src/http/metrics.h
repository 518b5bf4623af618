// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "serving/executor.h"

namespace veloz::http {

/// What a finished generation request adds to the histograms, in seconds from its submission.
struct RequestRecord {
  std::string finished_reason;  // "stop", "length", "abort", "error"
  int64_t num_prompt_tokens = 0;
  int64_t num_cached_tokens = 0;
  int64_t num_output_tokens = 0;
  int64_t max_choice_tokens = 0;  // of its longest choice
  int64_t n = 1;
  int64_t max_tokens = 0;
  double queue_s = 0;    // waiting
  double prefill_s = 0;  // from scheduled to the first token
  double decode_s = 0;   // from the first token to the last
  double total_s = 0;
};

/// Counters, gauges and histograms in Prometheus' text format, with vLLM's names behind a prefix.
/// Any thread may call any method.
class Metrics {
 public:
  struct Options {
    std::string prefix = "veloz:";  // "vllm:" for dashboards made for vLLM
    std::string model_name;
    int64_t max_model_len = 131072;                        // highest bucket of token counts
    std::map<std::string, std::string> cache_config = {};  // labels of cache_config_info
  };
  explicit Metrics(const Options& options);
  ~Metrics();

  /// A prompt of that many tokens has been computed.
  void on_prompt(int64_t num_tokens);
  /// The engine gave one more token, whatever becomes of its request.
  void on_token();
  void on_first_token(double ttft_s);
  void on_inter_token(double itl_s);
  void on_request_end(const RequestRecord& record);
  void on_step(const serving::StepRecord& record);
  /// What /metrics answers; gauges are those of `stats`.
  std::string text(const serving::ExecutorStats& stats) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::http
