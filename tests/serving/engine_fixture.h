// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "serving/collector.h"
#include "serving/executor.h"
#include "serving/fake_runner.h"

namespace veloz::serving {

inline const HashModel kModel = {.seed = 7, .vocab_size = 50, .scale = 8, .eos_token_ids = {3}};

inline SchedulerLimits small_limits() {
  return {.max_num_seqs = 8,
          .max_num_batched_tokens = 16,
          .max_model_len = 64,
          .block_size = 4,
          .num_kv_blocks = 48,
          .max_prefill_chunk = 16};
}

inline ExecutorOptions options_for(const HashModel& model, const SchedulerLimits& limits) {
  return {.limits = limits,
          .vocab_size = model.vocab_size,
          .eos_token_ids = model.eos_token_ids,
          .banned_token_ids = {}};
}

/// An executor over a FakeRunner.
struct Engine {
  explicit Engine(const HashModel& model = kModel, const SchedulerLimits& limits = small_limits())
      : Engine(model, options_for(model, limits)) {}
  Engine(const HashModel& model, const ExecutorOptions& options, bool takes_tokens = true)
      : runner(model, options.limits, takes_tokens), executor(runner, options) {}

  std::shared_ptr<Inbox> submit(Request request, RequestId* id = nullptr) {
    auto inbox = std::make_shared<Inbox>();
    const RequestId given = std::get<RequestId>(
        executor.submit(std::move(request), std::make_unique<Collector>(inbox)));
    if (id != nullptr) *id = given;
    return inbox;
  }
  Outcome generate(std::vector<int32_t> prompt, const SamplingParams& params) {
    return submit({std::move(prompt), params, nullptr})->wait();
  }
  /// Waits until nothing is left to do: the books of the last step are noted after its events.
  ExecutorStats wait_until_idle() {
    ExecutorStats stats = executor.stats();
    while (stats.num_running > 0 || stats.num_waiting > 0 ||
           stats.num_free_blocks < stats.num_blocks) {
      std::this_thread::yield();
      stats = executor.stats();
    }
    return stats;
  }

  FakeRunner runner;
  Executor executor;
};

}  // namespace veloz::serving
