// SPDX-License-Identifier: Apache-2.0
#include "api/loaded_model.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "api/backend.h"
#include "api/bad_words.h"
#include "api/kv_budget.h"
#include "api/no_tokenizer.h"
#include "base/error.h"
#include "base/files.h"
#include "checkpoint/generation_config.h"
#include "runtime/session.h"
#include "runtime/step_runner.h"

namespace veloz::api {
namespace {

/// Ids that the model has and the tokenizer lacks: padding of the vocabulary.
std::vector<int32_t> ids_without_token(const text::Tokenizer& tokenizer, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < vocab_size; ++id)
    if (!tokenizer.has_token(id)) ids.push_back(id);
  return ids;
}

int64_t lower_limit(const char* flag, int64_t wanted, int64_t built) {
  if (wanted == 0) return built;
  if (wanted < 1 || wanted > built)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} is {}, the engine was built for 1 to {}", flag, wanted, built),
                "choose a value in that range, or build the engine with a higher limit");
  return wanted;
}

/// Every running sequence takes a token of each step, so steps are at least as long as those are
/// many.
int64_t choose_max_num_seqs(const LLMOptions& options, const engine::Limits& limits,
                            int64_t max_num_batched_tokens) {
  const int64_t max_num_seqs =
      lower_limit("--max-num-seqs", options.max_num_seqs, limits.max_num_seqs);
  if (max_num_seqs <= max_num_batched_tokens) return max_num_seqs;
  if (options.max_num_seqs == 0) return max_num_batched_tokens;
  throw Error(ErrorKind::invalid_input,
              fmt::format("--max-num-seqs {} exceeds --max-num-batched-tokens {}: each running "
                          "sequence takes a token of every step",
                          max_num_seqs, max_num_batched_tokens),
              "lower the one or raise the other");
}

}  // namespace

struct LoadedModel::State {
  explicit State(const std::filesystem::path& directory)
      : engine(engine::Engine::open(directory)),
        text(load_text_files(engine.tokenizer_directory())) {}

  void start(const LLMOptions& options, serving::StepCallback on_step);

  engine::Engine engine;
  TextFiles text;
  NoPieces no_pieces;
  Backend backend;
  std::unique_ptr<runtime::Session> session;
  std::unique_ptr<runtime::SessionRunner> runner;
  std::unique_ptr<serving::Executor> executor;  // last: its thread uses all the others
  std::string description;
};

void LoadedModel::State::start(const LLMOptions& options, serving::StepCallback on_step) {
  backend = open_cpu(options.isa, options.num_threads);
  const engine::Limits& limits = engine.plan().limits;
  const int64_t max_num_batched_tokens = lower_limit(
      "--max-num-batched-tokens", options.max_num_batched_tokens, limits.max_num_batched_tokens);
  const int64_t max_num_seqs = choose_max_num_seqs(options, limits, max_num_batched_tokens);
  const int64_t num_blocks =
      choose_num_kv_blocks(engine, max_num_seqs, options.kv_cache_memory_bytes);
  session = std::make_unique<runtime::Session>(engine, *backend.device, *backend.registry,
                                               *backend.pool, runtime::SessionOptions{num_blocks});
  const runtime::MemoryUse memory = session->memory();
  description = fmt::format("{}; weights {}, KV cache {} ({} tokens), arena {}",
                            backend.description, format_bytes(memory.weight_bytes),
                            format_bytes(memory.kv_cache_bytes), num_blocks * limits.block_size,
                            format_bytes(memory.arena_bytes + memory.workspace_bytes));

  runner = std::make_unique<runtime::SessionRunner>(*session);
  serving::ExecutorOptions executor_options =
      serving::ExecutorOptions::of(engine.manifest(), num_blocks);
  executor_options.limits.max_num_seqs = max_num_seqs;
  executor_options.limits.max_num_batched_tokens = max_num_batched_tokens;
  executor_options.on_step = std::move(on_step);
  if (text.tokenizer)
    executor_options.banned_token_ids =
        ids_without_token(*text.tokenizer, executor_options.vocab_size);
  executor = std::make_unique<serving::Executor>(*runner, std::move(executor_options));
}

LoadedModel::LoadedModel(const std::filesystem::path& engine, const LLMOptions& options,
                         serving::StepCallback on_step)
    : state_(std::make_unique<State>(engine)) {
  state_->start(options, std::move(on_step));
}

LoadedModel::~LoadedModel() = default;

const engine::Engine& LoadedModel::engine() const { return state_->engine; }
const TextFiles& LoadedModel::text() const { return state_->text; }
serving::Executor& LoadedModel::executor() { return *state_->executor; }
const std::string& LoadedModel::description() const { return state_->description; }

const text::Tokenizer& LoadedModel::require_tokenizer() const {
  if (!state_->text.tokenizer)
    throw Error(ErrorKind::unsupported,
                fmt::format("engine \"{}\" has no tokenizer", engine().directory().string()),
                "give token ids, or build from a model directory with a tokenizer");
  return *state_->text.tokenizer;
}

const text::TokenPieces& LoadedModel::pieces() const {
  if (state_->text.tokenizer) return *state_->text.tokenizer;
  return state_->no_pieces;
}

std::vector<int32_t> LoadedModel::tokens_of(const Prompt& prompt) const {
  const auto* ids = std::get_if<std::vector<int32_t>>(&prompt);
  if (ids == nullptr) return require_tokenizer().encode(std::get<std::string>(prompt));
  const int64_t vocab_size = engine().manifest().model.vocab_size;
  for (const int32_t id : *ids)
    if (id < 0 || id >= vocab_size)
      throw Error(
          ErrorKind::invalid_input,
          fmt::format("prompt token id {} is outside the vocabulary, 0 to {}", id, vocab_size - 1),
          "tokenise the prompt with this model's tokenizer");
  return *ids;
}

std::vector<std::vector<int32_t>> LoadedModel::bad_words_of(const SamplingParams& params) const {
  if (params.bad_words.empty()) return {};
  return bad_word_tokens(require_tokenizer(), params.bad_words);
}

SamplingParams LoadedModel::default_params() const {
  const std::string& text = engine().manifest().model.generation_config;
  if (text.empty()) return checkpoint::GenerationConfig{}.sampling_params();
  return checkpoint::parse_generation_config(text).sampling_params();
}

}  // namespace veloz::api
