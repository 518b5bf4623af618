// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "engine/manifest.h"
#include "runtime/step_runner.h"
#include "serving/request.h"
#include "serving/scheduler.h"

namespace veloz::serving {

/// What one step did.
struct StepRecord {
  int64_t number = 0;
  std::chrono::steady_clock::time_point start;
  double duration_s = 0;
  double predicted_s = 0;  // by the cost model
  int64_t num_prefill_tokens = 0;
  int64_t num_decode_tokens = 0;
  int64_t num_seqs = 0;  // that took part
};

/// Called on the engine's thread after each step; hands over and returns.
using StepCallback = std::function<void(const StepRecord&)>;

/// Called on the engine's thread with what gives the events of a step to its requests' sinks; calls
/// it, once, and may do something before and after.
using EventScope = std::function<void(const std::function<void()>& give_events)>;

/// The queue is full; nothing was kept of what was submitted.
struct QueueFull {
  std::string reason;        // what is full, value and limit
  double retry_after_s = 1;  // predicted time until there is room
};

/// What the executor must know of the engine behind its StepRunner.
struct ExecutorOptions {
  SchedulerLimits limits;
  SchedulerOptions scheduling = {};
  bool run_ahead = true;                  // launch a step before the one ahead of it was collected
  int64_t vocab_size = 0;                 // columns of the logits
  std::vector<int32_t> eos_token_ids;     // end a choice unless ignore_eos
  std::vector<int32_t> banned_token_ids;  // never chosen: ids that the tokenizer lacks
  int64_t max_beam_width = 8;
  int64_t max_logprobs = 20;
  int64_t max_queued_requests = 0;  // waiting ones; 0: any number
  int64_t max_queued_tokens = 0;    // of the prompts of waiting ones; 0: any number
  StepCallback on_step = {};
  EventScope event_scope = {};

  /// As the engine's manifest says; banned ids are for the caller to add.
  static ExecutorOptions of(const engine::Manifest& manifest, int64_t num_kv_blocks);
};

/// A moment's numbers.
struct ExecutorStats {
  int64_t num_running = 0;  // requests
  int64_t num_waiting = 0;
  int64_t num_free_blocks = 0;
  int64_t num_blocks = 0;
  int64_t num_steps = 0;           // since the start
  int64_t num_steps_ahead = 0;     // of them, fed with tokens that the step in flight was to give
  int64_t num_batched_tokens = 0;  // of all steps
  int64_t num_sampled_rows = 0;    // of logits, likewise
  int64_t num_preemptions = 0;
  int64_t num_prefix_queries = 0;  // prompt tokens looked up in the prefix cache
  int64_t num_prefix_hits = 0;     // of them, found
  int64_t num_queued_tokens = 0;   // prompt tokens of waiting requests
  double compute_cpu_s = 0;        // of the engine thread: the part that ran steps
  // The step in flight, for watchdogs; absent between steps.
  std::optional<std::chrono::steady_clock::time_point> step_start;
  double step_predicted_s = 0;
  // Of the newest steps, how many failed one after the other, and of what: a device that is lost
  // fails all of them.
  int64_t num_failed_steps = 0;
  std::string step_error;
};

/// A request that has blocks, as it was when the last step was scheduled.
struct RunningRequest {
  RequestId id{};
  std::string label{};  // Request::label
  int64_t num_prompt_tokens = 0;
  int64_t num_output_tokens = 0;  // of its longest sequence
  int64_t num_sequences = 1;
  int64_t num_computed = 0;  // tokens of its first sequence that are in the cache
  int64_t num_blocks = 0;    // of all its sequences, shared ones counted for each
  int64_t num_preemptions = 0;
  double age_s = 0;  // since its submission
};

/// A request, and who is told of it.
struct Submittal {
  Request request;
  std::unique_ptr<EventSink> sink;
};

/// Runs requests to their ends, many at a time: the one generation loop. An engine thread repeats
/// drain commands -> schedule -> launch -> apply -> publish, one step being in flight meanwhile (a
/// StepPipeline), and sleeps where nothing is to do; all other threads talk to it through `submit`
/// and `cancel`. Each request ends exactly once. Errors stay with the requests they concern: NaN
/// logits fail one request, an exception in a step fails those that took part in it.
class Executor {
 public:
  /// `runner` outlives the executor and is used by its thread alone.
  Executor(runtime::StepRunner& runner, ExecutorOptions options);
  /// Cancels what is still there and waits for the engine thread.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// From any thread. Throws Error(invalid_input) for parameters that cannot be, and for a request
  /// that could never fit the engine's limits.
  void check(std::span<const int32_t> prompt_tokens, const SamplingParams& params) const;
  /// From any thread. Throws what `check` throws; afterwards everything goes through the sink,
  /// which is dropped uncalled where the queue is full.
  [[nodiscard]] std::variant<RequestId, QueueFull> submit(Request request,
                                                          std::unique_ptr<EventSink> sink);
  /// Takes all of them, or none: one answer may need several. The queue has room for them while
  /// fewer wait than it holds, so that a batch above its size can be served too.
  [[nodiscard]] std::variant<std::vector<RequestId>, QueueFull> submit(
      std::vector<Submittal> batch);
  /// From any thread; takes effect before the next step. Unknown and finished ids are ignored.
  void cancel(RequestId id);
  ExecutorStats stats() const;
  /// For a watchdog's dump: most urgent first. From any thread, whatever the engine thread does.
  std::vector<RunningRequest> running() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::serving
