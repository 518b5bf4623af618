// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "benchmark/offline.h"

namespace veloz::text {
class Tokenizer;
}

namespace veloz::benchmark {

enum class SweepMode : uint8_t { latency, throughput };

/// One of several measurements of a model that is loaded once.
struct SweepRun {
  SweepMode mode = SweepMode::latency;
  LatencyOptions latency{};      // batch, in, out, warmup, iters
  int64_t num_prompts = 100;     // of a throughput
  std::filesystem::path file{};  // its requests, as of the dataset "custom"
  int64_t num_beams = 1;
  double temperature = 0;
  double warm_s = 0;               // left out of the steady rate
  std::optional<double> stop_s{};  // then what is still running is cancelled
};

/// "latency batch=8 in=128 out=128 iters=3 warmup=1", "throughput prompts=256 in=128 out=2048
/// beams=4 temperature=1 warm=20 stop=60", "throughput file=requests.jsonl". Throws
/// Error(invalid_input) that quotes the word that is wrong.
SweepRun parse_sweep_run(std::string_view text);

/// What was measured; with the names of latency_json and throughput_json, and
///   latency     decode_step_ms, decode_tokens_per_second: while all of the batch decode
///   throughput  steady_requests_per_second, steady_output_tokens_per_second: after `warm_s`, until
///               `stop_s` or the end
/// `tokenizer` may be null where the file holds token ids.
nlohmann::ordered_json measure_sweep_run(LLM& llm, const SweepRun& run,
                                         const text::Tokenizer* tokenizer, uint64_t seed,
                                         const std::function<bool()>& should_stop);

}  // namespace veloz::benchmark
