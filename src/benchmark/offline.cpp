// SPDX-License-Identifier: Apache-2.0
#include "benchmark/offline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/error.h"
#include "benchmark/serving_report.h"
#include "benchmark/statistics.h"

namespace veloz::benchmark {
namespace {

using nlohmann::ordered_json;

// What `vllm bench latency` reports of whole batches.
constexpr std::array<double, 6> kBatchRanks = {10, 25, 50, 75, 90, 99};

SamplingParams sampling(int64_t max_tokens, const OfflineOptions& options) {
  const bool searches_beams = options.num_beams > 1;
  return {.max_tokens = max_tokens,
          .temperature = searches_beams ? 0 : options.temperature,
          .ignore_eos = true,
          .seed = options.seed,
          .num_beams = options.num_beams};
}

class Stopwatch {
 public:
  double elapsed_s() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

bool is_stopped(const OfflineOptions& options) {
  return options.should_stop && options.should_stop();
}

int64_t num_new_tokens(const RequestOutput& output) {
  int64_t count = 0;
  for (const Completion& completion : output.completions)
    count += static_cast<int64_t>(completion.token_ids.size());
  return count;
}

bool is_complete(const RequestOutput& output) {
  if (output.error && output.error->kind() != ErrorKind::cancelled) throw Error(*output.error);
  return !output.error && !output.completions.empty() &&
         output.completions.front().finish_reason != FinishReason::cancelled;
}

void require_positive(std::string_view flag, int64_t value, int64_t least = 1) {
  if (value < least)
    throw Error(ErrorKind::invalid_input, fmt::format("{} {} is not possible", flag, value),
                fmt::format("it must be {} or more", least));
}

std::vector<Prompt> random_batch(const PromptWriter& writer, const LatencyOptions& shape,
                                 RandomStream& random) {
  std::vector<Prompt> prompts;
  for (int64_t i = 0; i < shape.batch_size; ++i)
    prompts.push_back(writer.write(shape.input_len, random).prompt);
  return prompts;
}

}  // namespace

Throughput measure_throughput(LLM& llm, std::span<const SampleRequest> requests,
                              const OfflineOptions& options) {
  std::vector<Prompt> prompts;
  std::vector<SamplingParams> params;
  for (const SampleRequest& request : requests) {
    prompts.push_back(request.prompt);
    params.push_back(sampling(request.output_len, options));
  }
  int64_t num_ended = 0;
  const EndSink on_end = [&](size_t) {
    ++num_ended;
    if (options.on_progress) options.on_progress(num_ended);
  };
  const Stopwatch stopwatch;
  const std::vector<RequestOutput> outputs =
      llm.generate(prompts, params, {}, on_end, options.should_stop);
  Throughput throughput{.elapsed_s = stopwatch.elapsed_s()};
  for (const RequestOutput& output : outputs) {
    const bool completed = is_complete(output);
    const int64_t num_tokens = num_new_tokens(output);
    throughput.ended.push_back({.end_s = output.timing.total_s,
                                .is_complete = completed,
                                .ttft_s = output.timing.ttft_s,
                                .num_output_tokens = num_tokens});
    if (!completed) continue;
    ++throughput.num_requests;
    throughput.num_prompt_tokens += static_cast<int64_t>(output.prompt_token_ids.size());
    throughput.num_output_tokens += num_tokens;
  }
  return throughput;
}

double completion_rate(const Throughput& throughput, double from_s, double to_s) {
  to_s = std::min(to_s, throughput.elapsed_s);  // all may have ended before
  if (to_s <= from_s) return 0;
  const auto num_completed =
      std::ranges::count_if(throughput.ended, [&](const EndedRequest& request) {
        return request.is_complete && request.end_s > from_s && request.end_s <= to_s;
      });
  return static_cast<double>(num_completed) / (to_s - from_s);
}

std::string throughput_text(const Throughput& t) {
  const auto per_second = [&](int64_t count) { return static_cast<double>(count) / t.elapsed_s; };
  return fmt::format(
      "Throughput: {:.2f} requests/s, {:.2f} total tokens/s, {:.2f} output tokens/s\n"
      "Total num prompt tokens:  {}\nTotal num output tokens:  {}\n",
      per_second(t.num_requests), per_second(t.num_prompt_tokens + t.num_output_tokens),
      per_second(t.num_output_tokens), t.num_prompt_tokens, t.num_output_tokens);
}

ordered_json throughput_json(const Throughput& t) {
  const int64_t num_tokens = t.num_prompt_tokens + t.num_output_tokens;
  return {{"elapsed_time", t.elapsed_s},
          {"num_requests", t.num_requests},
          {"total_num_tokens", num_tokens},
          {"requests_per_second", static_cast<double>(t.num_requests) / t.elapsed_s},
          {"tokens_per_second", static_cast<double>(num_tokens) / t.elapsed_s},
          {"output_tokens_per_second", static_cast<double>(t.num_output_tokens) / t.elapsed_s},
          {"num_prompt_tokens", t.num_prompt_tokens},
          {"num_output_tokens", t.num_output_tokens}};
}

Latency measure_latency(LLM& llm, const LatencyOptions& shape, const OfflineOptions& options) {
  require_positive("--input-len", shape.input_len);
  require_positive("--output-len", shape.output_len);
  require_positive("--batch-size", shape.batch_size);
  require_positive("--num-iters", shape.num_iters);
  require_positive("--num-iters-warmup", shape.num_iters_warmup, 0);
  const PromptWriter writer({.vocab_size = llm.vocab_size()});
  RandomStream random(options.seed, RandomUse::tokens);
  const std::vector<SamplingParams> params(static_cast<size_t>(shape.batch_size),
                                           sampling(shape.output_len, options));
  Latency latency;
  for (int64_t i = 0; i < shape.num_iters_warmup + shape.num_iters; ++i) {
    const std::vector<Prompt> prompts = random_batch(writer, shape, random);
    const Stopwatch stopwatch;
    const std::vector<RequestOutput> outputs =
        llm.generate(prompts, params, {}, {}, options.should_stop);
    const double elapsed_s = stopwatch.elapsed_s();
    if (is_stopped(options)) break;
    if (options.on_progress) options.on_progress(i + 1);
    for (const RequestOutput& output : outputs)
      if (output.error) throw Error(*output.error);
    if (i < shape.num_iters_warmup) continue;
    latency.batch_s.push_back(elapsed_s);
    const auto tpot_ms = [&](const Timing& timing) {
      return (timing.total_s - timing.ttft_s) * kMsPerSecond /
             static_cast<double>(shape.output_len - 1);
    };
    for (const RequestOutput& output : outputs) {
      latency.ttft_ms.push_back(output.timing.ttft_s * kMsPerSecond);
      if (shape.output_len > 1) latency.tpot_ms.push_back(tpot_ms(output.timing));
    }
    const auto last = std::ranges::max_element(
        outputs, {}, [](const RequestOutput& output) { return output.timing.ttft_s; });
    if (shape.output_len > 1) latency.step_ms.push_back(tpot_ms(last->timing));
  }
  return latency;
}

std::string latency_text(const Latency& latency, std::span<const double> ranks) {
  const Summary batch = summarize(latency.batch_s, kBatchRanks);
  std::string text = fmt::format("Avg latency: {:.6f} seconds\n", batch.mean);
  text += fmt::format("Std latency: {:.6f} seconds\n", batch.std);
  for (const Percentile& p : batch.percentiles)
    text += fmt::format("{}% percentile latency: {:.6f} seconds\n", format_rank(p.rank), p.value);
  text += latency_section("Time to First Token", "TTFT", summarize(latency.ttft_ms, ranks));
  if (!latency.tpot_ms.empty())
    text += latency_section("Time per Output Token (excl. 1st token)", "TPOT",
                            summarize(latency.tpot_ms, ranks));
  return text;
}

ordered_json latency_json(const Latency& latency, std::span<const double> ranks) {
  const Summary batch = summarize(latency.batch_s, kBatchRanks);
  ordered_json json = {
      {"avg_latency", batch.mean}, {"std_latency", batch.std}, {"latencies", latency.batch_s}};
  for (const Percentile& p : batch.percentiles) json["percentiles"][format_rank(p.rank)] = p.value;
  add_latency(json, "ttft", summarize(latency.ttft_ms, ranks));
  if (!latency.tpot_ms.empty()) add_latency(json, "tpot", summarize(latency.tpot_ms, ranks));
  return json;
}

}  // namespace veloz::benchmark
