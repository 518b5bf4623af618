// SPDX-License-Identifier: Apache-2.0
#include "compress/measured_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "base/error.h"
#include "checkpoint/generation_config.h"
#include "compress/answer_collector.h"
#include "runtime/session.h"
#include "runtime/single_sequence.h"
#include "runtime/step_runner.h"
#include "serving/executor.h"

namespace veloz::compress {
namespace {

/// Blocks for as many answers at once as the options ask for, as far as their memory goes; one full
/// sequence at least.
int64_t choose_num_blocks(const engine::Plan& plan, const MeasureOptions& options) {
  const engine::Limits& limits = plan.limits;
  const int64_t per_sequence = limits.max_blocks_per_seq();
  const int64_t num_seqs =
      std::min(limits.max_num_seqs, options.max_num_seqs * limits.max_beam_width);
  const auto budget = static_cast<int64_t>(options.kv_cache_bytes / runtime::kv_block_bytes(plan));
  return std::clamp(budget, per_sequence, std::max(num_seqs, int64_t{1}) * per_sequence);
}

std::string stripped(const std::string& text) {
  constexpr const char* kSpaces = " \n\t\r\v\f";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

}  // namespace

struct MeasuredModel::State {
  State(const engine::Engine& engine_in, const text::Tokenizer& tokenizer_in,
        const Machine& machine_in, const MeasureOptions& options_in)
      : engine(engine_in),
        tokenizer(tokenizer_in),
        machine(machine_in),
        options(options_in),
        num_kv_blocks(choose_num_blocks(engine.plan(), options)),
        session(engine, machine.device, machine.registry, machine.pool, {num_kv_blocks}) {}

  serving::ExecutorOptions executor_options(int64_t num_beams) const;
  void run_to(int64_t end, int64_t first_logit);
  void fetch(const TensorView& view);

  const engine::Engine& engine;
  const text::Tokenizer& tokenizer;
  Machine machine;
  MeasureOptions options;
  int64_t num_kv_blocks;
  runtime::Session session;
  // The text that is being read.
  std::vector<int32_t> tokens;
  int64_t num_computed = 0;   // positions in the cache
  int64_t next = 0;           // token whose row comes next
  std::vector<float> logits;  // [rows of the last call, vocab_size]
};

serving::ExecutorOptions MeasuredModel::State::executor_options(int64_t num_beams) const {
  serving::ExecutorOptions result = serving::ExecutorOptions::of(engine.manifest(), num_kv_blocks);
  result.limits.max_num_seqs =
      std::clamp(options.max_num_seqs * num_beams, int64_t{1}, result.limits.max_num_seqs);
  result.banned_token_ids = text::ids_without_token(tokenizer, result.vocab_size);
  return result;
}

/// Computes positions up to `end`, in one step; logits of those from `first_logit` on.
void MeasuredModel::State::run_to(int64_t end, int64_t first_logit) {
  const runtime::Batch batch = runtime::single_sequence_batch(
      tokens, num_computed, end, first_logit, engine.plan().limits.block_size);
  const TensorView view = session.run(batch);
  num_computed = end;
  if (!batch.logit_rows.empty())
    fetch(view);
  else
    session.stream().synchronize();
}

void MeasuredModel::State::fetch(const TensorView& view) {
  VELOZ_CHECK(view.dtype == DType::fp32 && view.is_contiguous(), "logits of another form");
  logits.resize(static_cast<size_t>(view.shape.num_elements()));
  machine.device.copy_out(session.stream(), logits.data(), view.data, view.num_bytes());
  session.stream().synchronize();
}

MeasuredModel::MeasuredModel(const engine::Engine& engine, const text::Tokenizer& tokenizer,
                             const Machine& machine, const MeasureOptions& options)
    : state_(std::make_unique<State>(engine, tokenizer, machine, options)) {}
MeasuredModel::~MeasuredModel() = default;
MeasuredModel::MeasuredModel(MeasuredModel&&) noexcept = default;
MeasuredModel& MeasuredModel::operator=(MeasuredModel&&) noexcept = default;

const engine::Engine& MeasuredModel::engine() const { return state_->engine; }
const Machine& MeasuredModel::machine() const { return state_->machine; }

SamplingParams MeasuredModel::default_params() const {
  const std::string& text = engine().manifest().model.generation_config;
  SamplingParams params = text.empty()
                              ? checkpoint::GenerationConfig{}.sampling_params()
                              : checkpoint::parse_generation_config(text).sampling_params();
  if (params.num_beams > 1) return params;
  params.temperature = 0;
  params.top_k = 0;
  params.top_p = 1;
  params.min_p = 0;
  return params;
}

int64_t MeasuredModel::max_rows() const {
  const engine::Limits& limits = engine().plan().limits;
  return std::min(limits.max_logit_rows, limits.max_num_batched_tokens);
}

void MeasuredModel::begin_text(std::span<const int32_t> tokens, int64_t first) {
  const int64_t max_model_len = engine().plan().limits.max_model_len;
  if (tokens.size() < 2 || std::cmp_greater(tokens.size(), max_model_len))
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("a text of {} tokens, the model takes 2 to {}", tokens.size(), max_model_len),
        "cut the text, or build the model with a higher --max-model-len");
  VELOZ_CHECK(first >= 1, "the token at {} has nothing before it", first);
  state_->tokens.assign(tokens.begin(), tokens.end());
  state_->num_computed = 0;
  state_->next = first;
}

MeasuredModel::LogitRows MeasuredModel::next_rows(int64_t max_rows) {
  State& state = *state_;
  const auto num_tokens = static_cast<int64_t>(state.tokens.size());
  const int64_t count = std::min({max_rows, this->max_rows(), num_tokens - state.next});
  if (count <= 0) return {.first = num_tokens};
  // Token t is predicted at position t - 1.
  const int64_t first_row = state.next - 1;
  const int64_t max_step = engine().plan().limits.max_num_batched_tokens;
  while (state.num_computed < first_row)
    state.run_to(std::min(first_row, state.num_computed + max_step), first_row);
  state.run_to(first_row + count, first_row);
  const LogitRows rows{state.next, count, state.logits};
  state.next += count;
  return rows;
}

std::vector<Answer> MeasuredModel::answer(std::span<const eval::EvalItem> items,
                                          const SamplingParams& params,
                                          const ProgressSink& on_progress,
                                          const std::function<bool()>& should_stop) {
  VELOZ_CHECK(params.n == 1 && params.stop.empty() && params.bad_words.empty(),
              "parameters that an evaluation has no use for");
  AnswerCollector collector(items.size());
  runtime::SessionRunner runner(state_->session);
  serving::Executor executor(runner, state_->executor_options(params.num_beams));
  for (size_t i = 0; i < items.size(); ++i) {
    serving::Request request{.prompt_tokens = items[i].prompt_tokens, .params = params};
    try {
      // The queue takes any number.
      static_cast<void>(executor.submit(std::move(request), collector.make_sink(i)));
    } catch (Error& e) {
      e.add_context(fmt::format("item {}", i + 1));
      throw;
    }
  }
  collector.wait([&](size_t num_ended) {
    if (on_progress) on_progress({"answering", num_ended, items.size(), "items"});
    if (should_stop && should_stop())
      throw Error(ErrorKind::cancelled, "the evaluation was interrupted");
  });

  std::vector<Answer> answers;
  for (const AnswerCollector::Slot& slot : collector.slots())
    answers.push_back({.text = slot.error ? "" : stripped(state_->tokenizer.decode(slot.token_ids)),
                       .num_tokens = std::ssize(slot.token_ids),
                       .is_cut = slot.reason == FinishReason::length,
                       .has_failed = slot.error.has_value()});
  return answers;
}

}  // namespace veloz::compress
