// SPDX-License-Identifier: Apache-2.0
#include "serving/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <span>
#include <stop_token>
#include <thread>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/numeric.h"
#include "base/thread_name.h"
#include "serving/command_queue.h"
#include "serving/engine_books.h"
#include "serving/engine_loop.h"
#include "serving/generation.h"
#include "serving/reply.h"
#include "serving/sampling_params.h"

namespace veloz::serving {
namespace {

uint64_t draw_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
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
                    .max_prefill_chunk = limits.max_num_batched_tokens,
                    .max_logit_rows = limits.max_logit_rows};
  options.vocab_size = manifest.model.vocab_size;
  for (const int64_t id : manifest.model.eos_token_ids)
    options.eos_token_ids.push_back(narrow<int32_t>(id));
  options.max_beam_width = limits.max_beam_width;
  return options;
}

struct Executor::State {
  State(runtime::StepRunner& runner, ExecutorOptions options_in)
      : options(std::move(options_in)),
        queue({options.max_queued_requests, options.max_queued_tokens}),
        books(options.limits.num_kv_blocks),
        loop(runner, options, queue, books) {}

  /// Of a request that was checked.
  SubmitCommand make_command(Submittal submittal);

  const ExecutorOptions options;
  CommandQueue queue;
  EngineBooks books;
  EngineLoop loop;
  std::atomic<uint64_t> next_id = 1;
  std::jthread thread;  // last: it ends before what it uses
};

Executor::Executor(runtime::StepRunner& runner, ExecutorOptions options)
    : state_(std::make_unique<State>(runner, std::move(options))) {
  state_->thread = std::jthread([state = state_.get()](const std::stop_token& stop) {
    name_this_thread("veloz-engine");
    state->loop.run(stop);
  });
}

Executor::~Executor() = default;

void Executor::check(std::span<const int32_t> prompt_tokens, const SamplingParams& params) const {
  const ExecutorOptions& options = state_->options;
  validate(params, limits_of(options));
  check_prompt(prompt_tokens, options.vocab_size);
  check_fits(demand_of(params, std::ssize(prompt_tokens)), options.limits);
}

SubmitCommand Executor::State::make_command(Submittal submittal) {
  Request& request = submittal.request;
  VELOZ_CHECK(request.params.bad_words.empty() || !request.bad_words.empty(),
              "bad words without their tokens");
  VELOZ_CHECK(request.params.stop.empty() || request.observer != nullptr,
              "stop strings without an observer that looks for them");
  const Demand demand = demand_of(request.params, std::ssize(request.prompt_tokens));

  SubmitCommand command;
  command.submission = {.id = RequestId{next_id++},
                        .prompt_tokens = std::move(request.prompt_tokens),
                        .demand = demand,
                        .wants_prompt_logits = request.params.prompt_logprobs.has_value(),
                        .priority = request.priority,
                        .arrival = std::chrono::steady_clock::now(),
                        .deadline = request.deadline,
                        .cache_salt = std::move(request.cache_salt)};
  GenerationPlan plan{.params = std::move(request.params),
                      .end_token_ids = {},
                      .observer = std::move(request.observer),
                      .masks = std::move(request.masks),
                      .bad_words = std::move(request.bad_words),
                      .seed = 0,
                      .vocab_size = options.vocab_size};
  plan.end_token_ids = end_token_ids(plan.params, options.eos_token_ids);
  plan.seed = plan.params.seed ? *plan.params.seed : draw_seed();
  const int64_t num_choices = plan.params.n;
  const RequestUsage usage{.num_prompt_tokens = demand.num_prompt_tokens, .seed = plan.seed};
  std::unique_ptr<Generation> generation = create_generation(std::move(plan));
  command.submission.prompt_rows = generation->prompt_rows();
  command.label = std::move(request.label);
  Reply reply(std::move(submittal.sink), num_choices, usage);
  command.request =
      std::make_shared<ActiveRequest>(ActiveRequest{std::move(generation), std::move(reply)});
  return command;
}

std::variant<RequestId, QueueFull> Executor::submit(Request request,
                                                    std::unique_ptr<EventSink> sink) {
  std::vector<Submittal> batch;
  batch.push_back({std::move(request), std::move(sink)});
  auto answer = submit(std::move(batch));
  if (auto* full = std::get_if<QueueFull>(&answer)) return std::move(*full);
  return std::get<std::vector<RequestId>>(answer).front();
}

std::variant<std::vector<RequestId>, QueueFull> Executor::submit(std::vector<Submittal> batch) {
  State& state = *state_;
  for (const auto& [request, sink] : batch) {
    check(request.prompt_tokens, request.params);
    validate_constraints(request, limits_of(state.options));
  }
  std::vector<SubmitCommand> commands;
  std::vector<RequestId> ids;
  const auto drop = [&commands] {
    for (const SubmitCommand& command : commands) command.request->reply.drop();
  };
  try {
    commands.reserve(batch.size());
    for (Submittal& submittal : batch) {
      commands.push_back(state.make_command(std::move(submittal)));
      ids.push_back(commands.back().submission.id);
    }
    std::optional<QueueFull> full = state.queue.try_push(commands);
    if (!full) return ids;
    drop();
    return std::move(*full);
  } catch (...) {  // no memory
    drop();
    throw;
  }
}

void Executor::cancel(RequestId id) { state_->queue.push(CancelCommand{id}); }
ExecutorStats Executor::stats() const { return state_->books.stats(); }
std::vector<RunningRequest> Executor::running() const { return state_->books.running(); }

}  // namespace veloz::serving
