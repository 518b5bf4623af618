// SPDX-License-Identifier: Apache-2.0
#include "http/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace veloz::http {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using Buckets = Histogram::BucketBoundaries;

// vLLM's, so that its dashboards fit.
const Buckets kTtftBuckets = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                              1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
const Buckets kItlBuckets = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                             0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
const Buckets kRequestBuckets = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                 30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
const Buckets kStepTokenBuckets = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
const Buckets kChoiceBuckets = {1, 2, 5, 10, 20};

/// 1, 2, 5, 10, 20, 50, ... up to `max`.
Buckets token_buckets(int64_t max) {
  Buckets buckets;
  for (double decade = 1;; decade *= 10)
    for (const double factor : {1, 2, 5}) {
      if (decade * factor > static_cast<double>(std::max<int64_t>(max, 1))) return buckets;
      buckets.push_back(decade * factor);
    }
}

double count(int64_t n) { return static_cast<double>(n); }

}  // namespace

struct Metrics::State {
  explicit State(const Options& options)
      : prefix(options.prefix), labels{{"model_name", options.model_name}, {"engine", "0"}} {
    const Buckets tokens = token_buckets(options.max_model_len);
    request_prompt_tokens =
        &histogram("request_prompt_tokens", "Prompt tokens of a request", tokens);
    request_generation_tokens =
        &histogram("request_generation_tokens", "Generated tokens of a request", tokens);
    request_max_num_generation_tokens = &histogram(
        "request_max_num_generation_tokens", "Generated tokens of its longest choice", tokens);
    request_params_max_tokens =
        &histogram("request_params_max_tokens", "max_tokens of a request", tokens);
    Labels cache_labels = labels;
    for (const auto& [name, value] : options.cache_config) cache_labels.emplace(name, value);
    prometheus::BuildGauge()
        .Name(prefix + "cache_config_info")
        .Help("How the KV cache is set up")
        .Register(registry)
        .Add(cache_labels)
        .Set(1);
    success = &prometheus::BuildCounter()
                   .Name(prefix + "request_success_total")
                   .Help("Requests that ended, by why")
                   .Register(registry);
    for (const char* reason : {"stop", "length", "abort", "error"}) ended(reason);
  }

  Gauge& gauge(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(prefix + name).Help(help).Register(registry).Add(labels);
  }
  Counter& counter(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(prefix + name).Help(help).Register(registry).Add(labels);
  }
  Histogram& histogram(const std::string& name, const std::string& help, const Buckets& buckets) {
    return prometheus::BuildHistogram()
        .Name(prefix + name)
        .Help(help)
        .Register(registry)
        .Add(labels, buckets);
  }
  Counter& ended(const std::string& reason) {
    Labels with_reason = labels;
    with_reason["finished_reason"] = reason;
    return success->Add(with_reason);
  }
  /// Brings a counter to what the executor counted.
  static void raise_to(Counter& counter, double value) {
    counter.Increment(std::max(0.0, value - counter.Value()));
  }

  prometheus::Registry registry;
  std::string prefix;
  Labels labels;
  std::mutex mutex;  // one reader brings the gauges up to date at a time

  Gauge& running = gauge("num_requests_running", "Requests being generated");
  Gauge& waiting = gauge("num_requests_waiting", "Requests waiting for their first step");
  Gauge& kv_usage = gauge("kv_cache_usage_perc", "KV cache in use; 1 is all of it");
  Counter& prefix_queries =
      counter("prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache");
  Counter& prefix_hits = counter("prefix_cache_hits_total", "Prompt tokens found there");
  Counter& preemptions = counter("num_preemptions_total", "Requests paused to make room");
  Counter& compute_cpu =
      counter("engine_compute_cpu_seconds_total",
              "CPU time of the engine's thread that ran steps; the rest of its time is serving");
  Counter& prompt_tokens = counter("prompt_tokens_total", "Tokens of prompts that were computed");
  Counter& generation_tokens = counter("generation_tokens_total", "Generated tokens");
  Histogram& ttft =
      histogram("time_to_first_token_seconds", "Submission to first token", kTtftBuckets);
  Histogram& itl =
      histogram("inter_token_latency_seconds", "Between tokens of one choice", kItlBuckets);
  Histogram& tpot = histogram("time_per_output_token_seconds",
                              "As inter_token_latency_seconds, under its older name", kItlBuckets);
  Histogram& e2e = histogram("e2e_request_latency_seconds", "Submission to end", kRequestBuckets);
  Histogram& queue_time =
      histogram("request_queue_time_seconds", "Submission to first step", kRequestBuckets);
  Histogram& inference_time =
      histogram("request_inference_time_seconds", "First step to end", kRequestBuckets);
  Histogram& prefill_time =
      histogram("request_prefill_time_seconds", "First step to first token", kRequestBuckets);
  Histogram& decode_time =
      histogram("request_decode_time_seconds", "First token to end", kRequestBuckets);
  Histogram& params_n = histogram("request_params_n", "n of a request", kChoiceBuckets);
  Histogram& iteration_tokens =
      histogram("iteration_tokens_total", "Tokens of a step", kStepTokenBuckets);
  Histogram* request_prompt_tokens = nullptr;
  Histogram* request_generation_tokens = nullptr;
  Histogram* request_max_num_generation_tokens = nullptr;
  Histogram* request_params_max_tokens = nullptr;
  prometheus::Family<Counter>* success = nullptr;
};

Metrics::Metrics(const Options& options) : state_(std::make_unique<State>(options)) {}
Metrics::~Metrics() = default;

void Metrics::on_prompt(int64_t num_tokens) { state_->prompt_tokens.Increment(count(num_tokens)); }

void Metrics::on_token() { state_->generation_tokens.Increment(); }

void Metrics::on_first_token(double ttft_s) { state_->ttft.Observe(ttft_s); }

void Metrics::on_inter_token(double itl_s) {
  state_->itl.Observe(itl_s);
  state_->tpot.Observe(itl_s);
}

void Metrics::on_request_end(const RequestRecord& record) {
  State& s = *state_;
  s.ended(record.finished_reason).Increment();
  if (record.num_output_tokens == 0) return;  // nothing that the rest would tell of
  s.e2e.Observe(record.total_s);
  s.queue_time.Observe(record.queue_s);
  s.prefill_time.Observe(record.prefill_s);
  s.decode_time.Observe(record.decode_s);
  s.inference_time.Observe(record.prefill_s + record.decode_s);
  s.params_n.Observe(count(record.n));
  s.request_prompt_tokens->Observe(count(record.num_prompt_tokens));
  s.request_generation_tokens->Observe(count(record.num_output_tokens));
  s.request_max_num_generation_tokens->Observe(count(record.max_choice_tokens));
  s.request_params_max_tokens->Observe(count(record.max_tokens));
}

void Metrics::on_step(const serving::StepRecord& record) {
  state_->iteration_tokens.Observe(count(record.num_prefill_tokens + record.num_decode_tokens));
}

std::string Metrics::text(const serving::ExecutorStats& stats) const {
  const std::lock_guard lock(state_->mutex);
  state_->running.Set(count(stats.num_running));
  state_->waiting.Set(count(stats.num_waiting));
  state_->kv_usage.Set(stats.num_blocks == 0 ? 0
                                             : count(stats.num_blocks - stats.num_free_blocks) /
                                                   count(stats.num_blocks));
  State::raise_to(state_->prefix_queries, count(stats.num_prefix_queries));
  State::raise_to(state_->prefix_hits, count(stats.num_prefix_hits));
  State::raise_to(state_->preemptions, count(stats.num_preemptions));
  State::raise_to(state_->compute_cpu, stats.compute_cpu_s);
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace veloz::http
