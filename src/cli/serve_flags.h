// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/load.h"
#include "http/log.h"
#include "http/openai/service_options.h"
#include "http/server.h"
#include "veloz/llm.h"

namespace CLI {
class App;
}

namespace veloz::cli {

/// What `veloz serve` is told. Each field has one flag, one environment variable (VELOZ_ and the
/// flag's name) and one YAML key (the flag's name).
struct ServeFlags {
  LoadFlags load;
  std::filesystem::path config;

  std::string host = "127.0.0.1";
  int port = 8000;
  int io_threads = 1;
  std::string ssl_keyfile, ssl_certfile;
  std::vector<std::string> allowed_origins;
  std::vector<std::string> api_keys;
  std::filesystem::path api_key_file;
  double api_key_rpm = 0;  // 0: no limit

  std::vector<std::string> served_model_names;
  std::filesystem::path chat_template;
  std::string generation_config = "auto";
  int64_t max_logprobs = 20;
  bool force = false;  // serve a model that its evaluation failed

  std::string policy = "max-utilization";
  double target_step_ms = 250;
  int64_t max_prefill_chunk = 0;  // 0: no limit of its own
  bool enable_prefix_caching = true;
  int64_t max_queued_requests = 2048;
  int64_t max_queued_tokens = int64_t{4} * 1024 * 1024;

  int64_t max_connections = 4096;
  int64_t max_header_bytes = int64_t{32} * 1024;
  int64_t max_body_bytes = int64_t{16} * 1024 * 1024;
  int64_t max_total_body_bytes = int64_t{1024} * 1024 * 1024;
  int64_t max_stream_buffer_bytes = int64_t{1024} * 1024;
  double header_timeout_s = 10;
  double body_timeout_s = 60;
  double keep_alive_timeout_s = 75;
  double write_timeout_s = 30;
  double shutdown_timeout_s = 30;
  double watchdog_timeout_s = 300;

  std::string log_format = "text";
  bool disable_access_log = false;
  bool disable_log_stats = false;
  std::string metrics_prefix = "veloz:";

  http::LogFormat parsed_log_format() const;
  http::ServerOptions server_options() const;
  /// Reads the chat template. Throws Error(io).
  http::openai::ServiceOptions service_options() const;
  LLMOptions llm_options() const;
  /// Whether others than this machine can reach it, and nothing is asked of them.
  bool is_public_without_key() const;
};

void add_serve_flags(CLI::App& verb, ServeFlags& flags);

}  // namespace veloz::cli
