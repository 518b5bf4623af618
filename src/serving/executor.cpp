// SPDX-License-Identifier: Apache-2.0
#include "serving/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <span>
#include <stop_token>
#include <thread>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/numeric.h"
#include "serving/generation.h"
#include "serving/reply.h"
#include "serving/sampling_params.h"

namespace veloz::serving {
namespace {

struct Submit {
  RequestId id{};
  std::vector<int32_t> prompt_tokens;
  Demand demand;
  std::unique_ptr<Generation> generation;
  Reply reply;
};
struct Cancel {
  RequestId id{};
};
using Command = std::variant<Submit, Cancel>;

/// A request that the scheduler knows.
struct ActiveRequest {
  std::unique_ptr<Generation> generation;
  Reply reply;
};

uint64_t draw_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

Error to_error(const std::exception& e) {
  if (const auto* error = dynamic_cast<const Error*>(&e)) return *error;
  return Error(ErrorKind::internal, e.what());
}

int64_t max_end_ids(const ExecutorOptions& options) {
  return std::ssize(options.eos_token_ids) + kMaxStopTokenIds;
}

SamplingLimits limits_of(const ExecutorOptions& options) {
  return {.vocab_size = options.vocab_size,
          .max_beam_width = options.max_beam_width,
          .max_logprobs = options.max_logprobs};
}

void check_prompt(std::span<const int32_t> prompt_tokens, int64_t vocab_size) {
  if (prompt_tokens.empty())
    throw Error(ErrorKind::invalid_input, "the prompt has no tokens",
                "give at least one; the model's beginning-of-sequence token will do");
  for (size_t i = 0; i < prompt_tokens.size(); ++i)
    if (prompt_tokens[i] < 0 || prompt_tokens[i] >= vocab_size)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("prompt token {} is {}, the model's ids go from 0 to {}", i,
                              prompt_tokens[i], vocab_size - 1));
}

}  // namespace

ExecutorOptions ExecutorOptions::of(const engine::Manifest& manifest, int64_t num_kv_blocks) {
  const engine::Limits& limits = manifest.limits;
  ExecutorOptions options;
  options.limits = {.max_num_seqs = std::min({limits.max_num_seqs, limits.max_logit_rows,
                                              limits.max_num_batched_tokens}),
                    .max_num_batched_tokens = limits.max_num_batched_tokens,
                    .max_model_len = limits.max_model_len,
                    .block_size = limits.block_size,
                    .num_kv_blocks = num_kv_blocks,
                    .max_prefill_chunk = limits.max_num_batched_tokens};
  options.vocab_size = manifest.model.vocab_size;
  for (const int64_t id : manifest.model.eos_token_ids)
    options.eos_token_ids.push_back(narrow<int32_t>(id));
  options.max_beam_width = limits.max_beam_width;
  return options;
}

struct Executor::State {
  State(runtime::StepRunner& runner_in, ExecutorOptions options_in)
      : runner(runner_in),
        options(std::move(options_in)),
        scheduler(options.limits),
        sampler(runner,
                {.max_rows = options.limits.max_num_seqs,
                 .vocab_size = options.vocab_size,
                 .max_model_len = options.limits.max_model_len,
                 .max_edits_per_row = kMaxLogitBiases + kMaxBadWordSequences + max_end_ids(options),
                 .max_logprobs = options.max_logprobs,
                 .max_candidates = (1 + max_end_ids(options)) * options.max_beam_width,
                 .banned_token_ids = options.banned_token_ids}) {
    stats.num_blocks = stats.num_free_blocks = options.limits.num_kv_blocks;
  }

  void post(Command command) {
    {
      const std::lock_guard lock(mutex);
      commands.push_back(std::move(command));
    }
    wake.notify_one();
  }

  void loop(const std::stop_token& stop);
  void drain_commands(const std::stop_token& stop);
  void apply(Submit& submit);
  void apply(const Cancel& cancel);
  void step();
  std::vector<runtime::GroupResult> run(const Step& step);
  void take(SequenceGroup& group, runtime::GroupResult result, int64_t step_number);
  void fail(RequestId id, const Error& error);
  void fail_all(const Error& error);
  int64_t count_step(const Step& step);
  void note_books();
  RequestId next_request_id();

  runtime::StepRunner& runner;
  const ExecutorOptions options;

  // The engine thread's.
  Scheduler scheduler;
  runtime::Sampler sampler;
  std::map<RequestId, ActiveRequest> active;

  mutable std::mutex mutex;
  std::condition_variable_any wake;
  std::deque<Command> commands;  // guarded by mutex
  uint64_t next_id = 1;          // guarded by mutex
  ExecutorStats stats;           // guarded by mutex

  std::jthread thread;  // last: it ends before what it uses
};

Executor::Executor(runtime::StepRunner& runner, ExecutorOptions options)
    : state_(std::make_unique<State>(runner, std::move(options))) {
  state_->thread =
      std::jthread([state = state_.get()](const std::stop_token& stop) { state->loop(stop); });
}

Executor::~Executor() = default;

void Executor::check(std::span<const int32_t> prompt_tokens, const SamplingParams& params) const {
  const ExecutorOptions& options = state_->options;
  validate(params, limits_of(options));
  check_prompt(prompt_tokens, options.vocab_size);
  check_fits(demand_of(params, std::ssize(prompt_tokens)), options.limits);
}

std::variant<RequestId, QueueFull> Executor::submit(Request request,
                                                    std::unique_ptr<EventSink> sink) {
  const ExecutorOptions& options = state_->options;
  check(request.prompt_tokens, request.params);
  validate_constraints(request, limits_of(options));
  VELOZ_CHECK(request.params.bad_words.empty() || !request.bad_words.empty(),
              "bad words without their tokens");
  VELOZ_CHECK(request.params.stop.empty() || request.observer != nullptr,
              "stop strings without an observer that looks for them");
  GenerationPlan plan{.params = std::move(request.params),
                      .end_token_ids = {},
                      .observer = std::move(request.observer),
                      .masks = std::move(request.masks),
                      .bad_words = std::move(request.bad_words),
                      .seed = 0,
                      .vocab_size = options.vocab_size};
  plan.end_token_ids = end_token_ids(plan.params, options.eos_token_ids);
  plan.seed = plan.params.seed ? *plan.params.seed : draw_seed();
  const Demand demand = demand_of(plan.params, std::ssize(request.prompt_tokens));

  Reply reply(std::move(sink), plan.params.n,
              {.num_prompt_tokens = demand.num_prompt_tokens, .seed = plan.seed});
  const RequestId id = state_->next_request_id();
  state_->post(Submit{.id = id,
                      .prompt_tokens = std::move(request.prompt_tokens),
                      .demand = demand,
                      .generation = create_generation(std::move(plan)),
                      .reply = std::move(reply)});
  return id;
}

void Executor::cancel(RequestId id) { state_->post(Cancel{id}); }

ExecutorStats Executor::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stats;
}

void Executor::State::loop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    try {
      drain_commands(stop);
      step();
    } catch (const std::exception& e) {
      // A bug in our own books: nothing that is running can be trusted, what comes later can.
      fail_all(to_error(e));
    }
    note_books();  // after a cancellation too, which may leave no step to run
  }
}

void Executor::State::drain_commands(const std::stop_token& stop) {
  std::deque<Command> drained;
  {
    std::unique_lock lock(mutex);
    wake.wait(lock, stop, [this] { return !commands.empty() || !active.empty(); });
    drained.swap(commands);
  }
  for (Command& command : drained) std::visit([this](auto& c) { apply(c); }, command);
}

void Executor::State::apply(Submit& submit) {
  scheduler.submit(submit.id, std::move(submit.prompt_tokens), submit.demand,
                   submit.generation->prompt_rows());
  active.emplace(submit.id, ActiveRequest{std::move(submit.generation), std::move(submit.reply)});
}

void Executor::State::apply(const Cancel& cancel) {
  scheduler.remove(cancel.id);
  active.erase(cancel.id);  // a reply that is dropped says that it was cancelled
}

void Executor::State::step() {
  const Step step = scheduler.schedule();
  if (step.is_empty()) return;
  const int64_t step_number = count_step(step);
  std::vector<RequestId> ids;
  for (const SequenceGroup* group : step.groups) ids.push_back(group->id);
  try {
    std::vector<runtime::GroupResult> results = run(step);
    scheduler.complete(step);
    for (size_t i = 0; i < results.size(); ++i)
      take(*step.deciding[i], std::move(results[i]), step_number);
  } catch (const std::exception& e) {
    Error error = to_error(e);
    error.add_context(fmt::format("step {}", step_number));
    for (const RequestId id : ids) fail(id, error);
  }
#ifdef VELOZ_DEBUG_CHECKS
  scheduler.check_invariants();
#endif
}

std::vector<runtime::GroupResult> Executor::State::run(const Step& step) {
  std::vector<std::pair<int32_t, int32_t>> copies;
  for (const kv::BlockCopy& copy : step.copies)
    copies.emplace_back(static_cast<int32_t>(copy.from), static_cast<int32_t>(copy.to));
  if (!copies.empty()) runner.copy_kv_blocks(copies);
  const TensorView logits = runner.run(step.batch);
  std::vector<runtime::SampleGroup> groups;
  for (const SequenceGroup* group : step.deciding)
    groups.push_back(active.at(group->id).generation->sample_group(*group));
  return groups.empty() ? std::vector<runtime::GroupResult>() : sampler.sample(logits, groups);
}

void Executor::State::take(SequenceGroup& group, runtime::GroupResult result, int64_t step_number) {
  const RequestId id = group.id;
  try {
    ActiveRequest& request = active.at(id);
    const std::vector<Child> children = request.generation->take(std::move(result), request.reply);
    scheduler.advance(group, children);
    if (children.empty()) active.erase(id);
  } catch (const std::exception& e) {
    Error error = to_error(e);
    error.add_context(fmt::format("step {}", step_number));
    fail(id, error);
  }
}

void Executor::State::fail(RequestId id, const Error& error) {
  scheduler.remove(id);
  const auto request = active.find(id);
  if (request == active.end()) return;
  request->second.reply.fail(error);
  active.erase(request);
}

void Executor::State::fail_all(const Error& error) {
  while (!active.empty()) fail(active.begin()->first, error);
}

int64_t Executor::State::count_step(const Step& step) {
  const std::lock_guard lock(mutex);
  stats.num_batched_tokens += step.batch.num_tokens();
  return ++stats.num_steps;
}

void Executor::State::note_books() {
  const std::lock_guard lock(mutex);
  stats.num_running = scheduler.num_running();
  stats.num_waiting = scheduler.num_waiting();
  stats.num_free_blocks = scheduler.pool().num_free();
}

RequestId Executor::State::next_request_id() {
  const std::lock_guard lock(mutex);
  return RequestId{next_id++};
}

}  // namespace veloz::serving
