// SPDX-License-Identifier: Apache-2.0
#include "benchmark/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
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

/// Rows of logits sampled between two moments of a run.
class SteadyWindow {
 public:
  SteadyWindow(double from_s, std::optional<double> to_s) : from_s_(from_s), to_s_(to_s) {}

  void note(int64_t num_rows) {
    const double now = seconds();
    if (!first_ && now >= from_s_) first_ = {now, num_rows};
    if (!is_closed_) last_ = {now, num_rows};
    is_closed_ = is_over();
  }
  bool is_over() const { return to_s_ && seconds() > *to_s_; }
  double rows_per_s() const {
    if (!first_ || last_.s <= first_->s) return 0;
    return static_cast<double>(last_.num_rows - first_->num_rows) / (last_.s - first_->s);
  }

 private:
  struct Moment {
    double s;
    int64_t num_rows;
  };
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  const double from_s_;
  const std::optional<double> to_s_;
  std::optional<Moment> first_;
  Moment last_{0, 0};
  bool is_closed_ = false;
};

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
  SteadyWindow window(run.warm_s, run.stop_s);
  const std::function<bool()> is_interrupted = options.should_stop;
  options.should_stop = [&] {
    window.note(llm.stats().num_sampled_rows);
    return window.is_over() || (is_interrupted && is_interrupted());
  };
  const Throughput throughput = measure_throughput(llm, requests, options);
  window.note(llm.stats().num_sampled_rows);
  ordered_json json = throughput_json(throughput);
  json["steady_requests_per_second"] =
      completion_rate(throughput, run.warm_s, run.stop_s.value_or(throughput.elapsed_s));
  json["steady_output_tokens_per_second"] =
      window.rows_per_s() / static_cast<double>(std::max<int64_t>(run.num_beams, 1));
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
