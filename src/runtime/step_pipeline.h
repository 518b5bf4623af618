// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/batch.h"
#include "runtime/sampler.h"
#include "runtime/step_runner.h"

namespace veloz::runtime {

/// What a step runs: the blocks to copy (from, to) before it, then the batch.
struct StepInput {
  std::vector<std::pair<int32_t, int32_t>> copies;
  Batch batch;
};

/// Steps on their way through the device, in order. Each is launched, told how to sample (which may
/// be decided while it runs), and collected. One step may be launched before the step ahead of it
/// was collected: a token that the step ahead samples goes straight into the batch behind it
/// (Batch::feeds). A device that works while the host goes on hands it over by itself: a thread of
/// the pipeline's own puts the step behind into its queue before the step ahead is done. Any other
/// computes on the host's cores, and there the calling thread runs each step where it would wait
/// for it: nothing is handed over, nobody has to wake. All methods are called by one thread.
class StepPipeline {
 public:
  /// `runner` outlives the pipeline and is used by it alone from now on.
  StepPipeline(StepRunner& runner, const SamplerLimits& limits);
  /// Waits for the step that runs; what is behind it never does.
  ~StepPipeline();
  StepPipeline(const StepPipeline&) = delete;
  StepPipeline& operator=(const StepPipeline&) = delete;

  /// Whether steps run beside the calling thread, or on it.
  bool has_own_thread() const { return thread_.joinable(); }

  void launch(StepInput input);
  /// How the rows of the oldest step not told yet are sampled, in the order of its logit_rows. What
  /// the groups point to must live until the step is collected.
  void sample(std::vector<SampleGroup> groups);
  /// Waits until the oldest step is past its batch.
  void wait_for_logits();
  /// Waits for the oldest step, which was told how to sample. Throws what it threw.
  std::vector<GroupResult> collect();
  /// CPU seconds of the calling thread that went into running steps, since the start.
  double caller_cpu_s() const { return caller_cpu_s_; }

 private:
  struct Job {
    StepInput input;
    std::optional<std::vector<SampleGroup>> groups;
    bool has_begun = false;  // of who runs the steps, as the next and the results
    TensorView logits;
    bool has_logits = false;
    bool is_done = false;
    std::vector<GroupResult> results;
    std::exception_ptr error;
  };

  template <typename F>
  void run_here(const F& f);
  void work(const std::stop_token& stop);
  bool run(Job& job, const std::stop_token& stop);
  void begin(Job& job, const TensorView& sampled);
  bool begin_next(const std::stop_token& stop);
  void note_tokens(const std::vector<SampleGroup>& groups, const std::vector<GroupResult>& results);
  template <typename F>
  void update(const F& f);

  StepRunner& runner_;
  double caller_cpu_s_ = 0;
  Sampler sampler_;              // of who runs the steps, as the next
  std::vector<int32_t> tokens_;  // of each row of the last step

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Job> jobs_;        // guarded by mutex_; those at work keep their address
  bool is_collecting_ = false;  // guarded by mutex_: nothing is launched before that ends

  std::jthread thread_;  // none where the calling thread runs the steps
};

}  // namespace veloz::runtime
