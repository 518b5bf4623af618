// SPDX-License-Identifier: Apache-2.0
#include "runtime/step_pipeline.h"

#include <algorithm>

#include "base/error.h"
#include "base/thread_clock.h"
#include "base/thread_name.h"

namespace veloz::runtime {
namespace {

template <typename F>
std::exception_ptr error_of(const F& f) {
  try {
    f();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

}  // namespace

StepPipeline::StepPipeline(StepRunner& runner, const SamplerLimits& limits)
    : runner_(runner), sampler_(runner, limits) {
  if (runner.takes_device_tokens())
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

StepPipeline::~StepPipeline() {
  thread_ = {};
  // The device may still be at work on what is about to be freed.
  error_of([this] { runner_.stream().synchronize(); });
}

template <typename F>
void StepPipeline::update(const F& f) {
  {
    const std::lock_guard lock(mutex_);
    f();
  }
  changed_.notify_all();
}

template <typename F>
void StepPipeline::run_here(const F& f) {
  const double start_s = thread_cpu_s();
  f(jobs_.front());
  caller_cpu_s_ += thread_cpu_s() - start_s;
}

void StepPipeline::launch(StepInput input) {
  update([&] { jobs_.emplace_back().input = std::move(input); });
}

void StepPipeline::sample(std::vector<SampleGroup> groups) {
  update([&] {
    const auto job = std::ranges::find_if(jobs_, [](const Job& j) { return !j.groups; });
    VELOZ_CHECK(job != jobs_.end(), "no step waits to be told how to sample");
    job->groups = std::move(groups);
  });
}

void StepPipeline::wait_for_logits() {
  VELOZ_CHECK(!jobs_.empty(), "no step was launched");
  if (!has_own_thread())
    return run_here([this](Job& job) {
      if (!job.has_begun) begin(job, {});
    });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.front().has_logits; });
}

std::vector<GroupResult> StepPipeline::collect() {
  VELOZ_CHECK(!jobs_.empty() && jobs_.front().groups, "no step was told how to sample");
  if (!has_own_thread()) run_here([this](Job& job) { run(job, {}); });
  std::unique_lock lock(mutex_);
  is_collecting_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return jobs_.front().is_done; });
  is_collecting_ = false;
  const Job job = std::move(jobs_.front());
  jobs_.pop_front();
  if (job.error) std::rethrow_exception(job.error);
  return job.results;
}

void StepPipeline::work(const std::stop_token& stop) {
  name_this_thread("veloz-step");
  const auto next = [this] {
    return std::ranges::find_if(jobs_, [](const Job& job) { return !job.is_done; });
  };
  for (;;) {
    Job* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [&] { return next() != jobs_.end(); })) break;
      job = &*next();
    }
    if (!run(*job, stop)) break;
  }
}

/// False where it was stopped on the way.
bool StepPipeline::run(Job& job, const std::stop_token& stop) {
  if (!job.has_begun) begin(job, {});
  update([&] { job.has_logits = true; });
  {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [&] { return job.groups.has_value(); })) return false;
  }
  std::vector<GroupResult> results;
  std::exception_ptr error = std::move(job.error);
  if (job.groups->empty()) {
    if (!error) error = error_of([&] { runner_.stream().synchronize(); });
  } else {
    if (!error) error = error_of([&] { sampler_.start(job.logits, *job.groups); });
    if (!error && runner_.takes_device_tokens() && !begin_next(stop)) return false;
    if (!error) error = error_of([&] { results = sampler_.finish(); });
  }
  note_tokens(*job.groups, results);
  update([&] {
    job.results = std::move(results);
    job.error = std::move(error);  // the other thread's alone from now on
    job.is_done = true;
  });
  return true;
}

/// Enqueues its batch, whose feeds the device takes from `sampled`, where that has data.
void StepPipeline::begin(Job& job, const TensorView& sampled) {
  job.has_begun = true;
  job.error = error_of([&] {
    StepInput& input = job.input;
    input.batch.sampled = sampled;
    if (sampled.data == nullptr)
      for (const TokenFeed& feed : input.batch.feeds)
        input.batch.tokens[static_cast<size_t>(feed.token)] =
            tokens_[static_cast<size_t>(feed.row)];
    if (!input.copies.empty()) runner_.copy_kv_blocks(input.copies);
    job.logits = runner_.run(input.batch);
  });
}

/// While the device is at work: begins the step behind it, if one is launched in time. False where
/// it was stopped on the way.
bool StepPipeline::begin_next(const std::stop_token& stop) {
  const std::optional<TensorView> sampled = sampler_.tokens_on_device();
  if (!sampled) return true;
  Job* next = nullptr;
  {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [&] { return jobs_.size() > 1 || is_collecting_; }))
      return false;
    if (jobs_.size() > 1) next = &jobs_[1];
  }
  if (next != nullptr) begin(*next, *sampled);
  return true;
}

/// Rows that gave no token (beams, failures) feed token 0: what is made of it is dropped.
void StepPipeline::note_tokens(const std::vector<SampleGroup>& groups,
                               const std::vector<GroupResult>& results) {
  tokens_.clear();
  for (size_t g = 0; g < groups.size(); ++g)
    for (size_t row = 0; row < groups[g].rows.size(); ++row) {
      const bool has_token =
          g < results.size() && !results[g].fault && row < results[g].tokens.size();
      tokens_.push_back(has_token ? results[g].tokens[row].token : 0);
    }
}

}  // namespace veloz::runtime
