// SPDX-License-Identifier: Apache-2.0
#include "profile/profiler.h"

#include <chrono>

#include "base/error.h"
#include "base/median.h"

namespace veloz::profile {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The samples of one phase.
class PhaseRecorder {
 public:
  PhaseRecorder(runtime::Session& session, const Phase& phase, int64_t vocab_size)
      : session_(session),
        phase_(phase),
        batch_(make_batch(phase, session.plan().limits, vocab_size)),
        op_s_(session.plan().program("step").steps.size()),
        works_(op_s_.size()) {}

  void warm_up() { session_.run(batch_); }

  void run_once() {
    double ops_s = 0;
    Clock::time_point op_start;
    session_.set_step_hook([&](size_t step, const ops::OpCall& call, bool is_done) {
      if (!is_done) {
        session_.stream().synchronize();
        op_start = Clock::now();
        return;
      }
      session_.stream().synchronize();
      const double seconds = seconds_since(op_start);
      ops_s += seconds;
      if (op_s_[step].empty()) works_[step] = cost_of_call(op_of(step), call, batch_);
      op_s_[step].push_back(seconds);
    });
    const Clock::time_point start = Clock::now();
    session_.run(batch_);
    const double step_s = seconds_since(start);
    session_.set_step_hook({});
    step_s_.push_back(step_s);
    host_s_.push_back(step_s - ops_s);
  }

  PhaseTimes times() const {
    const engine::Program& program = session_.plan().program("step");
    const std::vector<std::string_view> kernels = session_.kernel_names();
    PhaseTimes times{
        .phase = phase_, .ops = {}, .step_s = median(step_s_), .host_s = median(host_s_)};
    for (size_t step = 0; step < op_s_.size(); ++step) {
      if (op_s_[step].empty()) continue;
      const auto result = static_cast<size_t>(program.steps[step].outputs.front());
      times.ops.push_back({.step = step,
                           .op = op_of(step),
                           .name = program.values[result].name,
                           .kernel = std::string(kernels[step]),
                           .seconds = median(op_s_[step]),
                           .work = works_[step]});
    }
    return times;
  }

 private:
  ops::Op op_of(size_t step) const { return session_.plan().program("step").steps[step].op; }

  runtime::Session& session_;
  const Phase phase_;
  const runtime::Batch batch_;
  std::vector<std::vector<double>> op_s_;  // one per step of the plan; empty of those skipped
  std::vector<CallCost> works_;            // likewise
  std::vector<double> step_s_, host_s_;
};

}  // namespace

Profile run_profile(runtime::Session& session, const ProfileOptions& options, int64_t vocab_size) {
  VELOZ_CHECK(options.num_repeats >= 1, "{} repeats", options.num_repeats);
  std::vector<PhaseRecorder> recorders;
  recorders.reserve(options.phases.size());
  for (const Phase& phase : options.phases) {
    check_phase(phase, session.plan().limits);
    recorders.emplace_back(session, phase, vocab_size);
  }
  int64_t num_done = 0;
  const int64_t total = (1 + options.num_repeats) * static_cast<int64_t>(recorders.size());
  const auto advance = [&] {
    ++num_done;
    if (options.on_progress) options.on_progress(num_done, total);
  };
  for (PhaseRecorder& recorder : recorders) {
    recorder.warm_up();
    advance();
  }
  std::vector<MachinePeaks> peaks;
  for (int64_t repeat = 0; repeat < options.num_repeats; ++repeat) {
    peaks.push_back(options.measure_peaks());
    for (PhaseRecorder& recorder : recorders) {
      recorder.run_once();
      advance();
    }
  }
  Profile profile{.phases = {}, .peaks = median_of(peaks), .num_repeats = options.num_repeats};
  for (const PhaseRecorder& recorder : recorders) profile.phases.push_back(recorder.times());
  return profile;
}

}  // namespace veloz::profile
