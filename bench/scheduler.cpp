// SPDX-License-Identifier: Apache-2.0
// Times what a step costs the host, with many sequences decoding, and with prompts among them that
// are cut to a target: scheduling it, taking in its results, and noting both in the engine's books.
// The limit of all together is 100 us a step with 256 sequences; above it the exit code is 1.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "serving/engine_books.h"
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
  bool has_prompts = false;  // in every step a request gives way to a new one
  int64_t width = 1;         // sequences of a request
  bool has_beams = false;    // in every step the best one of a request takes the last one's place
};

struct Times {  // of each step
  std::vector<double> schedule_us;
  std::vector<double> finish_us;
  std::vector<double> note_us;  // both times: when it begins, and when it has ended
  std::vector<double> step_us;  // all together
};

template <typename F>
double time_us(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

/// Every deciding sequence goes on with a token; at the end of a prompt as many as the case has.
void finish(Scheduler& scheduler, const Case& c, const Step& step) {
  scheduler.complete(step);
  std::vector<Child> children(static_cast<size_t>(c.width));
  for (const GroupRows& rows : step.rows) {
    const bool is_fork = std::ssize(rows.group->sequences) < c.width;
    for (int64_t i = 0; i < c.width; ++i)
      children[static_cast<size_t>(i)] = {is_fork ? 0 : i,
                                          static_cast<int32_t>((step.number + i) % 997)};
    if (c.has_beams) children.back().parent = 0;
    scheduler.advance(*rows.group, children);
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

/// The decodes of 256 sequences take half of the target, and a prompt about the rest.
serving::SchedulerOptions scheduling_of(const Case& c) {
  serving::SchedulerOptions scheduling = {.policy = c.policy,
                                          .enable_prefix_caching = c.enable_prefix_caching};
  if (!c.has_prompts) return scheduling;
  scheduling.costs.token_s = 2e-4;
  scheduling.target_step_s = 0.2;
  return scheduling;
}

void submit(Scheduler& scheduler, const Case& c, int64_t number, const SchedulerBench& options) {
  serving::Submission submission;
  submission.id = serving::RequestId{static_cast<uint64_t>(number)};
  for (int64_t t = 0; t < options.prompt_tokens; ++t)
    submission.prompt_tokens.push_back(static_cast<int32_t>((t * 31 + number * 7919) % 32000));
  submission.demand = {options.prompt_tokens, options.steps + kSpareTokens, c.width};
  submission.prompt_rows = c.width;
  scheduler.submit(std::move(submission));
}

/// Whether the step is one that the case is about.
bool holds_all(const Case& c, const Step& step) {
  if (!c.has_prompts) return step.num_seqs == c.num_seqs;
  return step.num_prefill_tokens > 0 && step.num_seqs > c.num_seqs / 2;
}

/// Steps until all decode; the last of them is in flight.
Step warm_up(Scheduler& scheduler, const Case& c) {
  Step in_flight = scheduler.schedule();
  while (in_flight.num_seqs < c.num_seqs || in_flight.num_prefill_tokens > 0) {
    finish(scheduler, c, in_flight);
    in_flight = scheduler.schedule();
  }
  return in_flight;
}

/// Nothing where a step did not hold all that it is to hold.
std::optional<Times> measure(const Case& c, const SchedulerBench& options) {
  Scheduler scheduler(limits_of(c, options), scheduling_of(c));
  serving::EngineBooks books(scheduler.limits().num_kv_blocks);
  int64_t num_submitted = 0;
  while (num_submitted * c.width < c.num_seqs) submit(scheduler, c, ++num_submitted, options);
  Step in_flight = warm_up(scheduler, c);
  Times times;
  for (int64_t i = 0; i < options.steps; ++i) {
    Step next;
    double note_us = 0;
    const auto note = [&] { note_us += time_us([&] { books.note_scheduler(scheduler); }); };
    const auto schedule = [&] {
      times.schedule_us.push_back(time_us([&] { next = scheduler.schedule(); }));
      note();
    };
    if (c.run_ahead) schedule();
    times.finish_us.push_back(time_us([&] { finish(scheduler, c, in_flight); }));
    note();
    if (c.has_prompts) {
      scheduler.remove(scheduler.running().front()->id);
      submit(scheduler, c, ++num_submitted, options);
    }
    if (!c.run_ahead) schedule();
    times.note_us.push_back(note_us);
    times.step_us.push_back(times.schedule_us.back() + times.finish_us.back() + note_us);
    in_flight = std::move(next);
    if (!holds_all(c, in_flight)) return std::nullopt;
  }
  return times;
}

void print(const Case& c, const Times& times, const SchedulerBench& options) {
  const double median = quantile(times.step_us, 0.5);
  const double p10 = quantile(times.step_us, 0.1);
  const double p90 = quantile(times.step_us, 0.9);
  const double schedule = quantile(times.schedule_us, 0.5);
  const double finish = quantile(times.finish_us, 0.5);
  const double note = quantile(times.note_us, 0.5);
  if (options.json)
    fmt::print(
        "{{\"bench\": \"schedule\", \"case\": \"{}\", \"sequences\": {}, \"steps\": {}, "
        "\"median_us\": {:.1f}, \"p10_us\": {:.1f}, \"p90_us\": {:.1f}, \"schedule_us\": {:.1f}, "
        "\"finish_us\": {:.1f}, \"note_us\": {:.1f}, \"against\": \"limit\", \"ratio\": {:.3f}}}\n",
        c.name, c.num_seqs, options.steps, median, p10, p90, schedule, finish, note,
        options.limit_us / median);
  else
    fmt::print(
        "{:29} {:4} sequences  step {:6.1f} us [{:.1f}-{:.1f}]  schedule {:5.1f}  finish {:5.1f}  "
        "note {:5.1f}  {:4.0f} % of the limit\n",
        c.name, c.num_seqs, median, p10, p90, schedule, finish, note,
        median / options.limit_us * 100);
}

/// False, with the reason on stderr, where the case did not run or took too long.
bool run_case(const Case& c, const SchedulerBench& options) {
  const std::optional<Times> times = measure(c, options);
  if (!times) {
    fmt::print(stderr, "error: {}: not all sequences took part in a step\n", c.name);
    return false;
  }
  print(c, *times, options);
  const double median = quantile(times->step_us, 0.5);
  if (median <= options.limit_us) return true;
  fmt::print(stderr,
             "error: {}: a step of {} sequences takes {:.1f} us of host time, the limit is {} us\n",
             c.name, c.num_seqs, median, options.limit_us);
  return false;
}

int run(const SchedulerBench& options) {
  using enum SchedulingPolicy;
  const Case cases[] = {
      {.name = "reserving", .num_seqs = 64},
      {.name = "reserving"},
      {.name = "utilizing", .policy = max_utilization},
      {.name = "without prefixes", .enable_prefix_caching = false},
      {.name = "choices in fours", .width = 4},
      {.name = "beams in fours", .policy = max_utilization, .width = 4, .has_beams = true},
      {.name = "ahead", .policy = max_utilization, .run_ahead = true},
      {.name = "prompts among decodes, target", .policy = max_utilization, .has_prompts = true}};
  bool is_right = true;
  for (const Case& c : cases) is_right = run_case(c, options) && is_right;
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
  app.add_option("--limit-us", options.limit_us,
                 "median host time of a step; above it: exit code 1")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_flag("--json", options.json, "one JSON object per case");
  app.footer("Example: veloz_bench_scheduler --steps 1000");
  CLI11_PARSE(app, argc, argv);
  return veloz::bench::run(options);
}
