// SPDX-License-Identifier: Apache-2.0
#include "api/loaded_model.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "api/available_memory.h"
#include "api/backend.h"
#include "api/bad_words.h"
#include "api/executor_options.h"
#include "api/gpu_kv_budget.h"
#include "api/kv_budget.h"
#include "api/no_tokenizer.h"
#include "base/error.h"
#include "base/files.h"
#include "checkpoint/generation_config.h"
#include "cuda/device.h"
#include "profile/footprint.h"
#include "runtime/session.h"
#include "runtime/step_runner.h"

namespace veloz::api {

struct LoadedModel::State {
  explicit State(const std::filesystem::path& directory)
      : engine(engine::Engine::open(directory)),
        text(text::load_text_files(engine.tokenizer_directory())) {}

  int64_t choose_num_blocks(const LLMOptions& options, int64_t max_num_seqs) const;
  void start(const LLMOptions& options,
             const std::function<void(serving::ExecutorOptions&)>& adjust);

  engine::Engine engine;
  text::TextFiles text;
  NoPieces no_pieces;
  Backend backend;
  std::unique_ptr<runtime::Session> session;
  std::unique_ptr<runtime::SessionRunner> runner;
  std::unique_ptr<serving::Executor> executor;  // last: its thread uses all the others
  std::string description;
};

int64_t LoadedModel::State::choose_num_blocks(const LLMOptions& options,
                                              int64_t max_num_seqs) const {
  if (backend.device->kind() == DeviceKind::cpu)
    return choose_num_kv_blocks(
        engine.plan(), {.max_num_seqs = max_num_seqs,
                        .memory_bytes = options.kv_cache_memory_bytes,
                        .size = options.kv_cache_size,
                        .free_bytes = memory_beside_weights(engine, available_memory_bytes())});
  const profile::Footprint footprint = profile::predict_footprint(
      engine.plan(), *backend.registry, {.num_threads = backend.pool->num_threads()});
  return count_gpu_kv_blocks(engine.plan(), footprint,
                             {.memory = cuda::gpu_memory(*backend.device),
                              .utilization = options.gpu_memory_utilization,
                              .memory_bytes = options.kv_cache_memory_bytes,
                              .max_num_seqs = max_num_seqs,
                              .uses_library = backend.uses_library});
}

void LoadedModel::State::start(const LLMOptions& options,
                               const std::function<void(serving::ExecutorOptions&)>& adjust) {
  backend = open_backend(backend_request(options), engine.manifest().target);
  serving::ExecutorOptions executor_options = to_executor_options(engine, options, backend);
  const int64_t num_blocks = choose_num_blocks(options, executor_options.limits.max_num_seqs);
  executor_options.limits.num_kv_blocks = num_blocks;
  session = std::make_unique<runtime::Session>(engine, *backend.device, *backend.registry,
                                               *backend.pool, runtime::SessionOptions{num_blocks});
  const runtime::MemoryUse memory = session->memory();
  description =
      fmt::format("{}; weights {}, KV cache {} ({} tokens), arena {}", backend.description,
                  format_bytes(memory.weight_bytes), format_bytes(memory.kv_cache_bytes),
                  num_blocks * engine.plan().limits.block_size,
                  format_bytes(memory.arena_bytes + memory.workspace_bytes));

  runner = std::make_unique<runtime::SessionRunner>(*session);
  if (text.tokenizer)
    executor_options.banned_token_ids =
        text::ids_without_token(*text.tokenizer, executor_options.vocab_size);
  if (adjust) adjust(executor_options);
  executor = std::make_unique<serving::Executor>(*runner, std::move(executor_options));
}

LoadedModel::LoadedModel(const std::filesystem::path& engine, const LLMOptions& options,
                         const std::function<void(serving::ExecutorOptions&)>& adjust)
    : state_(std::make_unique<State>(engine)) {
  state_->start(options, adjust);
}

LoadedModel::~LoadedModel() = default;

const engine::Engine& LoadedModel::engine() const { return state_->engine; }
const text::TextFiles& LoadedModel::text() const { return state_->text; }
serving::Executor& LoadedModel::executor() { return *state_->executor; }

ExecutorStats LoadedModel::stats() const {
  const serving::ExecutorStats stats = state_->executor->stats();
  return {.num_running = stats.num_running,
          .num_waiting = stats.num_waiting,
          .num_queued_tokens = stats.num_queued_tokens,
          .num_kv_blocks = stats.num_blocks,
          .num_free_kv_blocks = stats.num_free_blocks,
          .num_steps = stats.num_steps,
          .num_steps_ahead = stats.num_steps_ahead,
          .num_batched_tokens = stats.num_batched_tokens,
          .num_sampled_rows = stats.num_sampled_rows,
          .num_preemptions = stats.num_preemptions,
          .num_prefix_queries = stats.num_prefix_queries,
          .num_prefix_hits = stats.num_prefix_hits};
}
const std::string& LoadedModel::description() const { return state_->description; }
const std::string& LoadedModel::warning() const { return state_->backend.warning; }
const std::vector<std::string>& LoadedModel::notices() const { return state_->session->notices(); }

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
