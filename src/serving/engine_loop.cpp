// SPDX-License-Identifier: Apache-2.0
#include "serving/engine_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "serving/sampling_params.h"

namespace veloz::serving {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

Error to_error(const std::exception& e) {
  if (const auto* error = dynamic_cast<const Error*>(&e)) return *error;
  return Error(ErrorKind::internal, e.what());
}

Error in_step(const std::exception& e, int64_t step_number) {
  Error error = to_error(e);
  error.add_context(fmt::format("step {}", step_number));
  return error;
}

int64_t max_end_ids(const ExecutorOptions& options) {
  return std::ssize(options.eos_token_ids) + kMaxStopTokenIds;
}

runtime::SamplerLimits sampler_limits(const ExecutorOptions& options) {
  return {.max_rows = std::max(options.limits.max_num_seqs, options.limits.max_logit_rows),
          .vocab_size = options.vocab_size,
          .max_model_len = options.limits.max_model_len,
          .max_edits_per_row = kMaxLogitBiases + kMaxBadWordSequences + max_end_ids(options),
          .max_logprobs = options.max_logprobs,
          .max_candidates = (1 + max_end_ids(options)) * options.max_beam_width,
          .banned_token_ids = options.banned_token_ids};
}

/// For rows that nobody waits for any more: a request ended while its step was in flight.
runtime::SampleGroup dropped_rows(int64_t count) {
  static const SamplingParams kGreedy = {.temperature = 0};
  return {.rows =
              std::vector<runtime::SampleRow>(static_cast<size_t>(count), {.params = &kGreedy})};
}

runtime::StepInput input_of(Step& step) {
  runtime::StepInput input;
  for (const kv::BlockCopy& copy : step.copies)
    input.copies.emplace_back(static_cast<int32_t>(copy.from), static_cast<int32_t>(copy.to));
  input.batch = std::move(step.batch);
  return input;
}

}  // namespace

EngineLoop::EngineLoop(runtime::StepRunner& runner, const ExecutorOptions& options,
                       CommandQueue& queue, EngineBooks& books)
    : options_(options),
      queue_(queue),
      books_(books),
      scheduler_(options.limits, options.scheduling),
      pipeline_(runner, sampler_limits(options)) {}

EngineLoop::~EngineLoop() {
  for (auto& [id, request] : active_) request->reply.cancel();
}

void EngineLoop::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (active_.empty() && in_flight_.empty()) queue_.wait(stop);
    try {
      apply_commands();
      turn();
    } catch (const std::exception& e) {
      // A bug in our own books: nothing that is running can be trusted, what comes later can.
      recover(to_error(e));
    }
    note();  // after a cancellation too, which may leave no step to run
  }
}

/// One step is in flight all the time; the next is launched when its logits are there, so that who
/// came meanwhile takes part, and then the results of the first are waited for.
void EngineLoop::turn() {
  if (in_flight_.empty()) launch();
  if (in_flight_.empty()) return;
  InFlight& oldest = in_flight_.front();
  oldest.requests = requests_of(oldest.step);
  if (!pipeline_.has_own_thread()) fill_masks(oldest);
  sample(oldest);
  if (options_.run_ahead) {
    pipeline_.wait_for_logits();
    apply_commands();
    launch();
  }
  finish_oldest();
}

void EngineLoop::apply_commands() {
  for (Command& command : queue_.drain()) std::visit([this](auto& c) { apply(c); }, command);
}

void EngineLoop::apply(SubmitCommand& command) {
  const RequestId id = command.submission.id;
  scheduler_.submit(std::move(command.submission));
  books_.note_submitted(id, std::move(command.label));
  active_.emplace(id, std::move(command.request));
}

void EngineLoop::apply(const CancelCommand& command) {
  const auto request = active_.find(command.id);
  if (request == active_.end()) return;
  request->second->reply.cancel();
  end(command.id);
}

void EngineLoop::fail_expired() {
  for (const RequestId id : scheduler_.remove_expired(Clock::now())) {
    const Reply& reply = active_.at(id)->reply;
    fail(id, Error(ErrorKind::cancelled,
                   fmt::format("deadline exceeded {:.3f} s after submission, with {} output tokens",
                               reply.age_s(), reply.num_output_tokens()),
                   "allow more time, or ask for fewer tokens"));
  }
}

void EngineLoop::launch() {
  fail_expired();
  Step step = scheduler_.schedule();
  note();  // a step may take long, or hang: the books tell who takes part
  if (step.is_empty()) return;
  books_.note_launch(step);
  InFlight& launched = in_flight_.emplace_back();
  launched.launched = Clock::now();
  launched.step = std::move(step);
  if (in_flight_.size() == 1) books_.note_step(&launched.step);
  for (const auto& group : launched.step.groups)
    if (group->first_step == launched.step.number) active_.at(group->id)->reply.start();
  pipeline_.launch(input_of(launched.step));
  is_newest_sampled_ = false;
}

std::vector<std::shared_ptr<ActiveRequest>> EngineLoop::requests_of(const Step& step) const {
  std::vector<std::shared_ptr<ActiveRequest>> requests;
  requests.reserve(step.rows.size());
  for (const GroupRows& rows : step.rows) {
    const auto active = active_.find(rows.group->id);
    requests.push_back(active == active_.end() ? nullptr : active->second);
  }
  return requests;
}

// Computes the step meanwhile, where it has masks: for once before it is told how to sample.
void EngineLoop::fill_masks(const InFlight& in_flight) {
  std::vector<Generation*> generations;
  for (size_t i = 0; i < in_flight.requests.size(); ++i) {
    const ActiveRequest* request = in_flight.requests[i].get();
    if (request != nullptr && in_flight.step.rows[i].is_deciding() &&
        request->generation->has_masks())
      generations.push_back(request->generation.get());
  }
  if (!generations.empty())
    mask_filler_.fill_during(generations, [this] { pipeline_.wait_for_logits(); });
}

// Every token before the step is known by now, whether the step ran ahead or not.
void EngineLoop::sample(const InFlight& in_flight) {
  std::vector<runtime::SampleGroup> groups;
  groups.reserve(in_flight.step.rows.size());
  for (size_t i = 0; i < in_flight.requests.size(); ++i)
    groups.push_back(
        sample_group(in_flight.step.rows[i], in_flight.requests[i].get(), in_flight.step.number));
  pipeline_.sample(std::move(groups));
  is_newest_sampled_ = true;
}

runtime::SampleGroup EngineLoop::sample_group(const GroupRows& rows, ActiveRequest* request,
                                              int64_t step_number) {
  if (request == nullptr) return dropped_rows(rows.num_rows);
  if (!rows.is_deciding())
    return request->generation->prompt_group(*rows.group, *rows.first_prompt_token, rows.num_rows);
  try {
    return request->generation->sample_group(*rows.group);
  } catch (const std::exception& e) {
    fail(rows.group->id, in_step(e, step_number));
    return dropped_rows(rows.num_rows);
  }
}

void EngineLoop::finish_oldest() {
  InFlight done = std::move(in_flight_.front());
  in_flight_.pop_front();
  std::vector<runtime::GroupResult> results;
  std::optional<Error> error;
  try {
    results = pipeline_.collect();
  } catch (const std::exception& e) {
    error = in_step(e, done.step.number);
  }
  books_.note_step(in_flight_.empty() ? nullptr : &in_flight_.front().step);
  const TimePoint start = std::max(done.launched, std::exchange(last_collect_, Clock::now()));
  const double duration_s = seconds_between(start, last_collect_);
  books_.note_outcome(error ? &*error : nullptr, pipeline_.caller_cpu_s());
  if (error) {
    scheduler_.abandon(done.step);
    for (const auto& group : done.step.groups) fail(group->id, *error);
  } else {
    scheduler_.complete(done.step);
    scheduler_.observe(done.step.work, duration_s);
    take_all(done, results);
  }
#ifdef VELOZ_DEBUG_CHECKS
  scheduler_.check_invariants();
#endif
  report(done, start, duration_s);
}

void EngineLoop::take_all(const InFlight& done, std::vector<runtime::GroupResult>& results) {
  const auto give_events = [&] {
    for (size_t i = 0; i < results.size(); ++i)
      if (done.requests[i] != nullptr && !done.step.rows[i].group->has_ended)
        take(done.step.rows[i], *done.requests[i], std::move(results[i]), done.step.number);
  };
  if (options_.event_scope)
    options_.event_scope(give_events);
  else
    give_events();
}

void EngineLoop::take(const GroupRows& rows, ActiveRequest& request, runtime::GroupResult result,
                      int64_t step_number) {
  SequenceGroup& group = *rows.group;
  const RequestId id = group.id;
  try {
    if (!rows.is_deciding()) return request.generation->take_prompt(result);
    if (group.sequences.front().num_known() == group.num_prompt_tokens)
      request.reply.prompt({.num_cached_tokens = group.num_cached_tokens,
                            .logprobs = request.generation->take_prompt_logprobs()});
    request.reply.set_num_preemptions(group.num_preemptions);
    const std::vector<Child> children = request.generation->take(std::move(result), request.reply);
    scheduler_.advance(group, children);
    if (!children.empty()) return;
    books_.note_finished(request.reply.service_s());
    end(id);
  } catch (const std::exception& e) {
    fail(id, in_step(e, step_number));
  }
}

void EngineLoop::report(const InFlight& done, TimePoint start, double duration_s) const {
  if (!options_.on_step) return;
  options_.on_step({.number = done.step.number,
                    .start = start,
                    .duration_s = duration_s,
                    .predicted_s = done.step.predicted_s,
                    .num_prefill_tokens = done.step.num_prefill_tokens,
                    .num_decode_tokens = done.step.work.num_tokens - done.step.num_prefill_tokens,
                    .num_seqs = done.step.num_seqs});
}

void EngineLoop::end(RequestId id) {
  scheduler_.remove(id);
  books_.note_gone(id);
  active_.erase(id);
}

void EngineLoop::fail(RequestId id, const Error& error) {
  const auto request = active_.find(id);
  if (request != active_.end()) request->second->reply.fail(error);
  end(id);
}

void EngineLoop::recover(const Error& error) {
  if (!is_newest_sampled_) pipeline_.sample({});
  is_newest_sampled_ = true;
  for (; !in_flight_.empty(); in_flight_.pop_front()) {
    try {
      pipeline_.collect();
    } catch (const std::exception&) {  // its requests are about to fail anyway
    }
    scheduler_.abandon(in_flight_.front().step);
  }
  books_.note_step(nullptr);
  while (!active_.empty()) fail(active_.begin()->first, error);
}

void EngineLoop::note() {
  books_.note_scheduler(scheduler_);
  queue_.note_waiting({scheduler_.num_waiting(), scheduler_.num_waiting_tokens()},
                      books_.admission_s());
}

}  // namespace veloz::serving
