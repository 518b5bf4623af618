// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "benchmark/openai_request.h"
#include "benchmark/serving_metrics.h"
#include "net/client.h"

namespace veloz::benchmark {

/// Where requests go.
struct Target {
  std::string url;  // of the endpoint
  net::Headers headers;
  RequestFormat format;
};

struct LoadOptions {
  std::optional<int64_t> max_concurrency =
      {};  // requests under way at once; later ones wait their turn
  /// Asked by the calling thread several times a second; true ends the run with what it has.
  std::function<bool()> should_stop = {};
  /// Called on the calling thread with the number of requests that have ended.
  std::function<void(int64_t)> on_progress = {};
};

struct LoadRun {
  std::vector<RequestResult> results;  // of the requests that were sent, in their order
  double duration_s = 0;               // to the end of the last request
  bool is_complete = true;             // false: stopped before all had ended
};

/// Sends request i at arrivals_s[i] seconds from now, each once (nothing is tried again), and waits
/// until all have ended. Requests that were under way when it was stopped are left out. All timing
/// happens on the client's I/O thread. `tokenizer` (may be null) counts output tokens where the
/// server gives no usage.
LoadRun run_load(net::Client& client, const Target& target, std::span<const SampleRequest> requests,
                 std::span<const double> arrivals_s, const LoadOptions& options,
                 const text::Tokenizer* tokenizer);

/// The first model of GET base_url/v1/models. Throws Error(io) where there is no server or it names
/// none.
std::string first_model(net::Client& client, const std::string& base_url,
                        const net::Headers& headers);

}  // namespace veloz::benchmark
