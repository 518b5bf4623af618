// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "benchmark/serving_metrics.h"
#include "benchmark/sse_parser.h"

namespace veloz::benchmark {

/// Reads a streamed answer of /v1/completions or /v1/chat/completions as it arrives and times it.
/// Times are seconds since the start of the run.
class AnswerReader {
 public:
  /// `sent_s` is when the request was sent.
  explicit AnswerReader(double sent_s) : sent_s_(sent_s) {}

  void on_head(int status, std::string_view content_type);
  void on_data(std::string_view bytes, double now_s);
  /// The answer is over; `transport_error` says why it broke off, or is empty. Fills the times,
  /// tokens, text and error of the result.
  void finish(std::string_view transport_error, RequestResult& result) const;

  /// The server said how many tokens there were.
  bool has_usage() const { return has_usage_; }

 private:
  void on_event(std::string_view data, double now_s);
  void on_choice(const nlohmann::json& choice, double now_s);
  std::string error_of(std::string_view transport_error) const;

  const double sent_s_;
  int status_ = 0;
  bool is_stream_ = false;
  SseParser parser_;
  std::string plain_body_;    // its beginning, of an answer that is no stream
  std::string stream_error_;  // an error event, or an event that is no JSON
  std::string text_;
  double first_s_ = 0, last_s_ = 0;  // of chunks with text
  double end_s_ = 0;                 // of the last choice
  std::vector<double> itls_s_;
  int64_t num_chunks_ = 0;
  bool is_ended_ = false;  // a finish reason or [DONE] came
  bool has_usage_ = false;
  int64_t num_prompt_tokens_ = 0, num_output_tokens_ = 0;
};

}  // namespace veloz::benchmark
