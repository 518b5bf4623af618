// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "runtime/step_pipeline.h"
#include "serving/command_queue.h"
#include "serving/engine_books.h"
#include "serving/executor.h"
#include "serving/mask_filler.h"
#include "serving/scheduler.h"

namespace veloz::serving {

/// What the engine thread does, and what it alone owns.
class EngineLoop {
 public:
  EngineLoop(runtime::StepRunner& runner, const ExecutorOptions& options, CommandQueue& queue,
             EngineBooks& books);
  /// Cancels what is still there.
  ~EngineLoop();

  void run(const std::stop_token& stop);

 private:
  struct InFlight {
    Step step;
    std::vector<std::shared_ptr<ActiveRequest>> requests;  // of step.rows; null where it has ended
    TimePoint launched;
  };

  void turn();
  void apply_commands();
  void apply(SubmitCommand& command);
  void apply(const CancelCommand& command);
  void fail_expired();
  void launch();
  std::vector<std::shared_ptr<ActiveRequest>> requests_of(const Step& step) const;
  void fill_masks(const InFlight& in_flight);
  void sample(const InFlight& in_flight);
  runtime::SampleGroup sample_group(const GroupRows& rows, ActiveRequest* request,
                                    int64_t step_number);
  void finish_oldest();
  void take_all(const InFlight& done, std::vector<runtime::GroupResult>& results);
  void take(const GroupRows& rows, ActiveRequest& request, runtime::GroupResult result,
            int64_t step_number);
  void report(const InFlight& done, TimePoint start, double duration_s) const;
  void end(RequestId id);
  void fail(RequestId id, const Error& error);
  void recover(const Error& error);
  void note();

  const ExecutorOptions& options_;
  CommandQueue& queue_;
  EngineBooks& books_;
  Scheduler scheduler_;
  std::unordered_map<RequestId, std::shared_ptr<ActiveRequest>> active_;
  std::deque<InFlight> in_flight_;
  bool is_newest_sampled_ = true;
  TimePoint last_collect_;
  MaskFiller mask_filler_;
  runtime::StepPipeline pipeline_;  // last: its thread reads the requests in flight
};

}  // namespace veloz::serving
