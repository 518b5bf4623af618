// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_search.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "benchmark/max_qps.h"
#include "cli/interrupt.h"

namespace veloz::cli {
namespace {

using benchmark::MetricsOptions;
using benchmark::QpsSearch;
using benchmark::ServingMetrics;
using nlohmann::ordered_json;

struct Trial {
  double request_rate = 0;
  double good_share = 0;
  bool holds = false;
  ServingMetrics metrics = {};
};

void check(const QpsSearchFlags& flags, const MetricsOptions& metrics) {
  if (!metrics.goodput.is_set())
    throw Error(ErrorKind::invalid_input, "--find-max-qps needs limits to search under",
                "give them with --goodput, as in --goodput ttft:500 tpot:100");
  if (!(flags.goodput_share > 0 && flags.goodput_share <= 1))
    throw Error(ErrorKind::invalid_input,
                fmt::format("--goodput-share {} is not possible", flags.goodput_share),
                "it must be above 0 and at most 1");
  if (!(flags.precision > 0))
    throw Error(ErrorKind::invalid_input,
                fmt::format("--qps-precision {} is not possible", flags.precision),
                "it must be above 0, as in 0.05");
}

void print_head() {
  fmt::print("{:>12} {:>12} {:>8} {:>12} {:>12} {:>12} {:>8}\n", "rate (req/s)", "done (req/s)",
             "good (%)", "TTFT P99 ms", "TPOT P99 ms", "E2EL P99 ms", "holds");
}

double p99(const benchmark::Summary& summary) { return summary.percentiles.front().value; }

void print_row(const Trial& trial) {
  const benchmark::LatencySummaries& latencies = trial.metrics.latencies_ms;
  fmt::print("{:>12.3f} {:>12.3f} {:>8.1f} {:>12.1f} {:>12.1f} {:>12.1f} {:>8}\n",
             trial.request_rate, trial.metrics.request_throughput, trial.good_share * 100,
             p99(latencies.ttft), p99(latencies.tpot), p99(latencies.e2el),
             trial.holds ? "yes" : "no");
  std::fflush(stdout);
}

ordered_json to_json(const Trial& trial) {
  const benchmark::LatencySummaries& latencies = trial.metrics.latencies_ms;
  return {{"request_rate", trial.request_rate},
          {"request_throughput", trial.metrics.request_throughput},
          {"good_share", trial.good_share},
          {"p99_ttft_ms", p99(latencies.ttft)},
          {"p99_tpot_ms", p99(latencies.tpot)},
          {"p99_e2el_ms", p99(latencies.e2el)},
          {"holds", trial.holds}};
}

}  // namespace

int find_max_qps(const QpsSearchFlags& flags, double first_rate, const MetricsOptions& metrics,
                 const std::function<benchmark::LoadRun(double, uint64_t)>& run_round) {
  check(flags, metrics);
  QpsSearch search(
      {.first_rate = std::isfinite(first_rate) ? first_rate : 1, .precision = flags.precision});
  ordered_json trials = ordered_json::array();
  if (!flags.is_json) print_head();
  for (uint64_t round = 0; const std::optional<double> rate = search.next_rate(); ++round) {
    const benchmark::LoadRun run = run_round(*rate, round);
    if (!run.is_complete) break;
    Trial trial{.request_rate = *rate};
    trial.metrics = measure(run.results, run.duration_s, {{99}, metrics.goodput});
    trial.good_share =
        static_cast<double>(trial.metrics.num_good) / static_cast<double>(run.results.size());
    trial.holds = trial.good_share >= flags.goodput_share;
    const bool was_alone = trial.metrics.peak_concurrent_requests <= 1;
    search.answer(trial.holds ? QpsSearch::Outcome::holds
                  : was_alone ? QpsSearch::Outcome::fails_alone
                              : QpsSearch::Outcome::fails);
    trials.push_back(to_json(trial));
    if (!flags.is_json) print_row(trial);
  }
  const std::optional<double> best = search.best();
  if (flags.is_json) {
    const ordered_json json = {{"max_request_rate", best ? ordered_json(*best) : ordered_json()},
                               {"goodput_share", flags.goodput_share},
                               {"trials", trials}};
    fmt::print("{}\n", json.dump());
  } else if (best) {
    fmt::print("Maximum request rate (req/s): {:.3f}\n", *best);
  } else {
    fmt::print("No request rate meets the limits\n");
  }
  std::fflush(stdout);
  const int interrupted = report_interrupt();
  return best ? interrupted : 1;
}

}  // namespace veloz::cli
