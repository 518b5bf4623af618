// SPDX-License-Identifier: Apache-2.0
#include "serving/engine_books.h"

#include <algorithm>
#include <utility>

namespace veloz::serving {

EngineBooks::EngineBooks(int64_t num_kv_blocks) {
  stats_.num_blocks = stats_.num_free_blocks = num_kv_blocks;
}

void EngineBooks::note_launch(const Step& step) {
  const std::lock_guard lock(mutex_);
  stats_.num_steps = step.number;
  if (!step.batch.feeds.empty()) ++stats_.num_steps_ahead;
  stats_.num_batched_tokens += step.batch.num_tokens();
  stats_.num_sampled_rows += std::ssize(step.batch.logit_rows);
}

void EngineBooks::note_step(const Step* oldest) {
  const std::lock_guard lock(mutex_);
  stats_.step_start.reset();
  stats_.step_predicted_s = 0;
  if (oldest == nullptr) return;
  stats_.step_start = std::chrono::steady_clock::now();
  stats_.step_predicted_s = oldest->predicted_s;
}

void EngineBooks::note_outcome(const Error* error, double compute_cpu_s) {
  const std::lock_guard lock(mutex_);
  stats_.compute_cpu_s = compute_cpu_s;
  stats_.num_failed_steps = error == nullptr ? 0 : stats_.num_failed_steps + 1;
  stats_.step_error = error == nullptr ? "" : error->message();
}

void EngineBooks::note_scheduler(const Scheduler& scheduler) {
  const std::lock_guard lock(mutex_);
  stats_.num_running = scheduler.num_running();
  stats_.num_waiting = scheduler.num_waiting();
  stats_.num_queued_tokens = scheduler.num_waiting_tokens();
  stats_.num_free_blocks = scheduler.pool().num_free();
  stats_.num_preemptions = scheduler.counts().num_preemptions;
  stats_.num_prefix_queries = scheduler.counts().num_prefix_queries;
  stats_.num_prefix_hits = scheduler.counts().num_prefix_hits;
  running_.clear();
  for (const auto& group : scheduler.running()) {
    RunningRequest request{.id = group->id,
                           .num_prompt_tokens = group->num_prompt_tokens,
                           .num_sequences = std::ssize(group->sequences),
                           .num_computed = group->sequences.front().num_computed,
                           .num_preemptions = group->num_preemptions};
    for (const Sequence& sequence : group->sequences) {
      request.num_blocks += sequence.table.num_blocks();
      request.num_output_tokens =
          std::max(request.num_output_tokens, sequence.num_known() - group->num_prompt_tokens);
    }
    running_.push_back({request, group->arrival});
  }
}

void EngineBooks::note_submitted(RequestId id, std::string label) {
  const std::lock_guard lock(mutex_);
  labels_.emplace(id, std::move(label));
}

void EngineBooks::note_gone(RequestId id) {
  const std::lock_guard lock(mutex_);
  labels_.erase(id);
}

void EngineBooks::note_finished(double service_s) {
  constexpr double kWeight = 0.1;
  const std::lock_guard lock(mutex_);
  mean_service_s_ += (mean_service_s_ == 0 ? 1 : kWeight) * (service_s - mean_service_s_);
}

ExecutorStats EngineBooks::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

std::vector<RunningRequest> EngineBooks::running() const {
  const std::lock_guard lock(mutex_);
  const TimePoint now = std::chrono::steady_clock::now();
  std::vector<RunningRequest> requests;
  for (const Running& running : running_) {
    requests.push_back(running.request);
    const auto label = labels_.find(running.request.id);  // none of who has left since
    if (label != labels_.end()) requests.back().label = label->second;
    requests.back().age_s = std::chrono::duration<double>(now - running.arrival).count();
  }
  return requests;
}

double EngineBooks::admission_s() const {
  constexpr double kShortest = 1;
  constexpr double kLongest = 600;
  const std::lock_guard lock(mutex_);
  const auto num_running = static_cast<double>(std::max<int64_t>(stats_.num_running, 1));
  return std::clamp(mean_service_s_ / num_running, kShortest, kLongest);
}

}  // namespace veloz::serving
