// SPDX-License-Identifier: Apache-2.0
// Times what a step costs the host, with many sequences decoding: scheduling it, and taking in its
// results; the limit is 100 us a step with 256 sequences.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "serving/scheduler.h"

namespace veloz::bench {
namespace {

constexpr int64_t kSpareTokens = 512;  // while others are still in their prompts

using serving::Child;
using serving::GroupRows;
using serving::Scheduler;
using serving::SchedulerLimits;
using serving::Step;

struct SchedulerBench {
  int64_t prompt_tokens = 512;
  int64_t steps = 400;
  double limit_us = 100;
  bool json = false;
};

struct Case {
  std::string name;
  int64_t num_seqs = 256;
  SchedulingPolicy policy = SchedulingPolicy::guaranteed_no_evict;
  bool enable_prefix_caching = true;
  bool run_ahead = false;
};

double microseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

/// Every deciding sequence goes on with a token.
void finish(Scheduler& scheduler, const Step& step) {
  scheduler.complete(step);
  for (const GroupRows& rows : step.rows) {
    const Child child{0, static_cast<int32_t>(step.number % 997)};
    scheduler.advance(*rows.group, {&child, 1});
  }
}

SchedulerLimits limits_of(const Case& c, const SchedulerBench& options) {
  const int64_t max_model_len = options.prompt_tokens + options.steps + kSpareTokens;
  return {.max_num_seqs = c.num_seqs,
          .max_num_batched_tokens = 8192,
          .max_model_len = max_model_len,
          .num_kv_blocks = c.num_seqs * (max_model_len / 64 + 2),
          .max_prefill_chunk = 8192};
}

void submit_all(Scheduler& scheduler, const Case& c, const SchedulerBench& options) {
  for (int64_t i = 0; i < c.num_seqs; ++i) {
    serving::Submission submission;
    submission.id = serving::RequestId{static_cast<uint64_t>(i + 1)};
    for (int64_t t = 0; t < options.prompt_tokens; ++t)
      submission.prompt_tokens.push_back(static_cast<int32_t>((t * 31 + i * 7919) % 32000));
    submission.demand = {options.prompt_tokens, options.steps + kSpareTokens, 1};
    scheduler.submit(std::move(submission));
  }
}

/// Steps in which all decode; false where one did not hold them all.
bool run_case(const Case& c, const SchedulerBench& options) {
  Scheduler scheduler(limits_of(c, options),
                      {.policy = c.policy, .enable_prefix_caching = c.enable_prefix_caching});
  submit_all(scheduler, c, options);
  Step in_flight = scheduler.schedule();
  while (in_flight.num_seqs < c.num_seqs || in_flight.num_prefill_tokens > 0) {
    finish(scheduler, in_flight);
    in_flight = scheduler.schedule();
  }
  std::vector<double> schedule_us;
  std::vector<double> finish_us;
  for (int64_t i = 0; i < options.steps; ++i) {
    Step next;
    const auto schedule = [&] {
      const auto begin = std::chrono::steady_clock::now();
      next = scheduler.schedule();
      schedule_us.push_back(microseconds_since(begin));
    };
    if (c.run_ahead) schedule();
    const auto begin = std::chrono::steady_clock::now();
    finish(scheduler, in_flight);
    finish_us.push_back(microseconds_since(begin));
    if (!c.run_ahead) schedule();
    in_flight = std::move(next);
    if (in_flight.num_seqs != c.num_seqs) return false;
  }
  const double median = quantile(schedule_us, 0.5);
  if (options.json)
    fmt::print(
        "{{\"bench\": \"schedule\", \"case\": \"{}\", \"sequences\": {}, \"steps\": {}, "
        "\"median_us\": {:.1f}, \"p10_us\": {:.1f}, \"p90_us\": {:.1f}, \"finish_us\": {:.1f}, "
        "\"against\": \"limit\", \"ratio\": {:.3f}}}\n",
        c.name, c.num_seqs, options.steps, median, quantile(schedule_us, 0.1),
        quantile(schedule_us, 0.9), quantile(finish_us, 0.5), options.limit_us / median);
  else
    fmt::print(
        "{:28} {:4} sequences  schedule {:6.1f} us [{:.1f}-{:.1f}]  finish {:6.1f} us  "
        "{:4.0f} % of the limit\n",
        c.name, c.num_seqs, median, quantile(schedule_us, 0.1), quantile(schedule_us, 0.9),
        quantile(finish_us, 0.5), median / options.limit_us * 100);
  return true;
}

int run(const SchedulerBench& options) {
  using enum SchedulingPolicy;
  const Case cases[] = {{.name = "reserving", .num_seqs = 64},
                        {.name = "reserving"},
                        {.name = "utilizing", .policy = max_utilization},
                        {.name = "without prefixes", .enable_prefix_caching = false},
                        {.name = "ahead", .policy = max_utilization, .run_ahead = true}};
  bool is_right = true;
  for (const Case& c : cases)
    if (!run_case(c, options)) {
      fmt::print(stderr, "error: {}: not all sequences took part in a step\n", c.name);
      is_right = false;
    }
  return is_right ? 0 : 1;
}

}  // namespace
}  // namespace veloz::bench

int main(int argc, char** argv) {
  CLI::App app("What a step of many decoding sequences costs the host.");
  veloz::bench::SchedulerBench options;
  app.add_option("--prompt-tokens", options.prompt_tokens, "of each sequence")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  app.add_option("--steps", options.steps, "of each case")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  app.add_flag("--json", options.json, "one JSON object per case");
  app.footer("Example: veloz_bench_scheduler --steps 1000");
  CLI11_PARSE(app, argc, argv);
  return veloz::bench::run(options);
}
