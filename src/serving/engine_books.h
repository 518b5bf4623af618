// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "serving/executor.h"
#include "serving/scheduler.h"

namespace veloz::serving {

/// What the engine thread tells all others about itself. Readable even while a step hangs.
class EngineBooks {
 public:
  explicit EngineBooks(int64_t num_kv_blocks);

  void note_launch(const Step& step);
  /// The oldest step in flight is another one, or none.
  void note_step(const Step* oldest);
  /// A step ended: well, or by an error (null: well). The engine thread has spent `compute_cpu_s`
  /// on steps since the start.
  void note_outcome(const Error* error, double compute_cpu_s);
  void note_scheduler(const Scheduler& scheduler);
  void note_submitted(RequestId id, std::string label);
  /// The request has left, for whatever reason.
  void note_gone(RequestId id);
  /// A request came to its end, so long after its first step began. Of those that were cancelled or
  /// failed nothing is to be learned about the others.
  void note_finished(double service_s);

  ExecutorStats stats() const;
  std::vector<RunningRequest> running() const;
  /// Predicted time until the next waiting request is admitted, which is when a running one ends.
  /// By Little's law, num_running = rate * mean service time, they end every
  /// mean service time / num_running seconds. From 1 s, also where none has finished yet, to 600 s.
  double admission_s() const;

 private:
  struct Running {
    RunningRequest request;
    TimePoint arrival;
  };

  mutable std::mutex mutex_;
  // All guarded by mutex_.
  ExecutorStats stats_;
  std::vector<Running> running_;
  // Of the requests that are there, waiting or running.
  std::unordered_map<RequestId, std::string> labels_;
  double mean_service_s_ = 0;  // of the last ten or so that finished
};

}  // namespace veloz::serving
