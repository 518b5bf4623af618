// SPDX-License-Identifier: Apache-2.0
#include "benchmark/sweep.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <sstream>

#include "base/error.h"
#include "benchmark/dataset_file.h"
#include "text/tokenizer.h"

namespace veloz::benchmark {
namespace {

using nlohmann::ordered_json;

constexpr std::array<double, 2> kRanks = {50, 99};

Error bad_word(std::string_view word, std::string_view hint) {
  return Error(ErrorKind::invalid_input, fmt::format("\"{}\" is no part of a run", word),
               std::string(hint));
}

template <typename T>
T parse_number(std::string_view word, std::string_view text, T least) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end || !(value >= least))
    throw bad_word(word, fmt::format("a number of at least {} follows the =", least));
  return value;
}

void parse_word(SweepRun& run, std::string_view word) {
  const size_t equals = word.find('=');
  const std::string_view key = word.substr(0, equals);
  const std::string_view value = equals == word.npos ? "" : word.substr(equals + 1);
  const auto count = [&](int64_t least = 1) { return parse_number<int64_t>(word, value, least); };
  const auto seconds = [&] { return parse_number<double>(word, value, 0.0); };
  const bool is_latency = run.mode == SweepMode::latency;
  if (key == "in")
    run.latency.input_len = count();
  else if (key == "out")
    run.latency.output_len = count();
  else if (key == "beams")
    run.num_beams = count();
  else if (key == "temperature")
    run.temperature = seconds();
  else if (is_latency && key == "batch")
    run.latency.batch_size = count();
  else if (is_latency && key == "iters")
    run.latency.num_iters = count();
  else if (is_latency && key == "warmup")
    run.latency.num_iters_warmup = count(0);
  else if (!is_latency && key == "prompts")
    run.num_prompts = count();
  else if (!is_latency && key == "warm")
    run.warm_s = seconds();
  else if (!is_latency && key == "stop")
    run.stop_s = seconds();
  else if (!is_latency && key == "file" && !value.empty())
    run.file = value;
  else
    throw bad_word(word, is_latency ? "latency knows batch, in, out, iters, warmup, beams and "
                                      "temperature"
                                    : "throughput knows prompts, in, out, file, beams, "
                                      "temperature, warm and stop");
}

ordered_json measure(LLM& llm, const SweepRun& run, const OfflineOptions& options) {
  const Latency latency = measure_latency(llm, run.latency, options);
  ordered_json json = latency_json(latency, kRanks);
  if (latency.step_ms.empty() || run.num_beams > 1) return json;
  const double step_ms = summarize(latency.step_ms, kRanks).percentiles.front().value;
  json["decode_step_ms"] = step_ms;
  json["decode_tokens_per_second"] = static_cast<double>(run.latency.batch_size) * 1e3 / step_ms;
  return json;
}

ordered_json measure(LLM& llm, const SweepRun& run, const PromptWriter& writer,
                     OfflineOptions options) {
  DatasetOptions dataset{.num_prompts = run.num_prompts, .seed = options.seed};
  dataset.random = {.input_len = run.latency.input_len, .output_len = run.latency.output_len};
  std::vector<SampleRequest> requests;
  if (run.file.empty()) {
    requests = make_dataset(dataset, writer);
  } else {
    dataset.path = run.file;
    requests = read_custom(dataset, writer);  // in the file's order
  }
  const auto start = std::chrono::steady_clock::now();
  const std::function<bool()> is_interrupted = options.should_stop;
  options.should_stop = [&] {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    return (run.stop_s && passed.count() > *run.stop_s) || (is_interrupted && is_interrupted());
  };
  const Throughput throughput = measure_throughput(llm, requests, options);
  ordered_json json = throughput_json(throughput);
  const SteadyRate steady =
      steady_rate(throughput, run.warm_s, run.stop_s.value_or(throughput.elapsed_s));
  json["steady_requests_per_second"] = steady.requests_per_s;
  json["steady_output_tokens_per_second"] = steady.output_tokens_per_s;
  return json;
}

}  // namespace

SweepRun parse_sweep_run(std::string_view text) {
  std::istringstream words{std::string(text)};
  std::string word;
  words >> word;
  SweepRun run;
  if (word == "throughput")
    run.mode = SweepMode::throughput;
  else if (word != "latency")
    throw bad_word(word, "a run begins with latency or throughput");
  run.latency.num_iters_warmup = 1;
  run.latency.num_iters = 3;
  while (words >> word) parse_word(run, word);
  return run;
}

ordered_json measure_sweep_run(LLM& llm, const SweepRun& run, const text::Tokenizer* tokenizer,
                               uint64_t seed, const std::function<bool()>& should_stop) {
  const OfflineOptions options{.temperature = run.temperature,
                               .seed = seed,
                               .num_beams = run.num_beams,
                               .should_stop = should_stop};
  if (run.mode == SweepMode::latency) return measure(llm, run, options);
  return measure(llm, run, PromptWriter({.vocab_size = llm.vocab_size(), .tokenizer = tokenizer}),
                 options);
}

}  // namespace veloz::benchmark
