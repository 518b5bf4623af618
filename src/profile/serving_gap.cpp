// SPDX-License-Identifier: Apache-2.0
#include "profile/serving_gap.h"

#include <algorithm>
#include <chrono>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/median.h"
#include "base/numeric.h"
#include "runtime/step_runner.h"
#include "serving/executor.h"

namespace veloz::profile {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

struct StepTime {
  bool is_whole_decode = false;  // every request takes one token
  Clock::time_point begin, end;
  double outside_s = 0;  // of ops between this step and the next
};

/// A runner that notes when steps begin and end. Its first step waits until all requests are there:
/// those of a small model could end one before the other. Read when the thread that runs it is
/// gone.
class TimedRunner final : public runtime::StepRunner {
 public:
  TimedRunner(runtime::Session& session, int64_t batch_size)
      : runner_(session), batch_size_(batch_size) {}

  void open() { is_open_.count_down(); }

  TensorView run(const runtime::Batch& batch) override {
    is_open_.wait();
    StepTime& step = steps_.emplace_back();
    step.is_whole_decode = batch.num_seqs() == batch_size_ && batch.num_tokens() == batch_size_;
    step.begin = Clock::now();
    const TensorView logits = runner_.run(batch);
    runner_.stream().synchronize();
    step.end = Clock::now();
    return logits;
  }
  void copy_kv_blocks(std::span<const std::pair<int32_t, int32_t>> pairs) override {
    runner_.copy_kv_blocks(pairs);
  }
  void run_op(ops::Op op, std::span<const TensorView> inputs, std::span<const TensorView> outputs,
              const ops::Attrs& attrs) override {
    const Clock::time_point begin = Clock::now();
    runner_.run_op(op, inputs, outputs, attrs);
    runner_.stream().synchronize();
    if (!steps_.empty()) steps_.back().outside_s += seconds(Clock::now() - begin);
  }
  Device& device() override { return runner_.device(); }
  Stream& stream() override { return runner_.stream(); }

  ServingGap gap() const {
    std::vector<double> step_s, sampling_s, host_s;
    for (size_t i = 0; i + 1 < steps_.size(); ++i) {
      const StepTime& step = steps_[i];
      if (!step.is_whole_decode || !steps_[i + 1].is_whole_decode) continue;
      step_s.push_back(seconds(step.end - step.begin));
      sampling_s.push_back(step.outside_s);
      host_s.push_back(seconds(steps_[i + 1].begin - step.end) - step.outside_s);
    }
    const auto num_steps = static_cast<int64_t>(step_s.size());
    return {median(std::move(step_s)), median(std::move(sampling_s)), median(std::move(host_s)),
            num_steps};
  }

 private:
  runtime::SessionRunner runner_;
  const int64_t batch_size_;
  std::latch is_open_{1};
  std::vector<StepTime> steps_;
};

/// Opens at its end, come what may: an executor that is destroyed waits for the step it runs.
struct Opener {
  TimedRunner& runner;
  ~Opener() { runner.open(); }
};

/// How the requests of a load ended.
class Outcome {
 public:
  explicit Outcome(int64_t num_requests) : left_(num_requests) {}

  void end(const Error* error) {
    {
      const std::scoped_lock lock(mutex_);
      if (error != nullptr) error_ = *error;
    }
    left_.count_down();
  }
  void wait() {
    left_.wait();
    const std::scoped_lock lock(mutex_);
    if (error_) throw Error(*error_);
  }

 private:
  std::latch left_;
  std::mutex mutex_;
  std::optional<Error> error_;  // guarded by mutex_
};

class OutcomeSink final : public serving::EventSink {
 public:
  explicit OutcomeSink(Outcome& outcome) : outcome_(outcome) {}

  void on_token(const serving::TokenEvent&) override {}
  void on_choice_end(const serving::ChoiceEnd&) override {}
  void on_finished(const serving::RequestUsage&) override { outcome_.end(nullptr); }
  void on_failed(const Error& error) override { outcome_.end(&error); }

 private:
  Outcome& outcome_;
};

serving::Request make_request(const ServingLoad& load, int64_t index, int64_t vocab_size) {
  serving::Request request;
  for (int64_t i = 0; i < load.prompt_tokens; ++i)
    request.prompt_tokens.push_back(narrow<int32_t>((index * load.prompt_tokens + i) % vocab_size));
  request.params.max_tokens = load.new_tokens;
  request.params.temperature = 0;
  request.params.ignore_eos = true;
  return request;
}

}  // namespace

ServingGap measure_serving_gap(runtime::Session& session, const engine::Manifest& manifest,
                               const ServingLoad& load) {
  TimedRunner runner(session, load.batch_size);
  serving::ExecutorOptions options = serving::ExecutorOptions::of(manifest, load.num_kv_blocks);
  options.scheduling.enable_prefix_caching = false;
  Outcome outcome(load.batch_size);
  {
    serving::Executor executor(runner, std::move(options));
    {
      const Opener opener{runner};
      for (int64_t i = 0; i < load.batch_size; ++i) {
        const auto id = executor.submit(make_request(load, i, manifest.model.vocab_size),
                                        std::make_unique<OutcomeSink>(outcome));
        VELOZ_CHECK(std::holds_alternative<serving::RequestId>(id),
                    "a queue without bound is full");
      }
    }
    outcome.wait();
  }
  return runner.gap();
}

}  // namespace veloz::profile
