// SPDX-License-Identifier: Apache-2.0
#include "veloz/llm.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "api/backend.h"
#include "api/generation.h"
#include "api/kv_budget.h"
#include "api/no_tokenizer.h"
#include "api/text_files.h"
#include "base/error.h"
#include "base/files.h"
#include "checkpoint/generation_config.h"
#include "engine/engine.h"
#include "runtime/session.h"
#include "runtime/step_runner.h"
#include "serving/executor.h"

namespace veloz {
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

struct LLM::State {
  explicit State(const std::filesystem::path& directory)
      : engine(engine::Engine::open(directory)),
        text(api::load_text_files(engine.tokenizer_directory())) {}

  engine::Engine engine;
  api::TextFiles text;
  api::NoPieces no_pieces;
  api::Backend backend;
  std::unique_ptr<runtime::Session> session;
  std::unique_ptr<runtime::SessionRunner> runner;
  std::unique_ptr<serving::Executor> executor;  // last: its thread uses all the others
  std::string description;

  const text::Tokenizer& require_tokenizer() const {
    if (!text.tokenizer)
      throw Error(ErrorKind::unsupported,
                  fmt::format("engine \"{}\" has no tokenizer", engine.directory().string()),
                  "give token ids, or build from a model directory with a tokenizer");
    return *text.tokenizer;
  }
  const text::TokenPieces& pieces() const {
    return text.tokenizer ? static_cast<const text::TokenPieces&>(*text.tokenizer) : no_pieces;
  }
  void start(const LLMOptions& options);
  std::vector<int32_t> tokens_of(const Prompt& prompt) const;
};

void LLM::State::start(const LLMOptions& options) {
  backend = api::open_cpu(options.isa, options.num_threads);
  const engine::Limits& limits = engine.plan().limits;
  const int64_t max_num_batched_tokens = lower_limit(
      "--max-num-batched-tokens", options.max_num_batched_tokens, limits.max_num_batched_tokens);
  const int64_t max_num_seqs = choose_max_num_seqs(options, limits, max_num_batched_tokens);
  const int64_t num_blocks =
      api::choose_num_kv_blocks(engine, max_num_seqs, options.kv_cache_memory_bytes);
  session = std::make_unique<runtime::Session>(engine, *backend.device, *backend.registry,
                                               *backend.pool, runtime::SessionOptions{num_blocks});
  runner = std::make_unique<runtime::SessionRunner>(*session);
  serving::ExecutorOptions executor_options =
      serving::ExecutorOptions::of(engine.manifest(), num_blocks);
  executor_options.limits.max_num_seqs = max_num_seqs;
  executor_options.limits.max_num_batched_tokens = max_num_batched_tokens;
  if (text.tokenizer)
    executor_options.banned_token_ids =
        ids_without_token(*text.tokenizer, executor_options.vocab_size);
  executor = std::make_unique<serving::Executor>(*runner, std::move(executor_options));

  const runtime::MemoryUse memory = session->memory();
  description = fmt::format("{}; weights {}, KV cache {} ({} tokens), arena {}",
                            backend.description, format_bytes(memory.weight_bytes),
                            format_bytes(memory.kv_cache_bytes), num_blocks * limits.block_size,
                            format_bytes(memory.arena_bytes + memory.workspace_bytes));
}

std::vector<int32_t> LLM::State::tokens_of(const Prompt& prompt) const {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
    const int64_t vocab_size = engine.manifest().model.vocab_size;
    for (const int32_t id : *ids)
      if (id < 0 || id >= vocab_size)
        throw Error(ErrorKind::invalid_input,
                    fmt::format("prompt token id {} is outside the vocabulary, 0 to {}", id,
                                vocab_size - 1),
                    "tokenise the prompt with this model's tokenizer");
    return *ids;
  }
  return require_tokenizer().encode(std::get<std::string>(prompt));
}

LLM::LLM(std::unique_ptr<State> state) : state_(std::move(state)) {}
LLM::~LLM() = default;
LLM::LLM(LLM&&) noexcept = default;
LLM& LLM::operator=(LLM&&) noexcept = default;

LLM LLM::load(const std::filesystem::path& engine, const LLMOptions& options) {
  auto state = std::make_unique<State>(engine);
  state->start(options);
  return LLM(std::move(state));
}

std::vector<RequestOutput> LLM::generate(std::span<const Prompt> prompts,
                                         std::span<const SamplingParams> params,
                                         const TextSink& sink, const EndSink& on_end,
                                         const StopCheck& should_stop) {
  if (prompts.size() != params.size())
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} prompts with parameters for {}", prompts.size(), params.size()));
  std::vector<std::vector<int32_t>> tokens;
  for (size_t i = 0; i < prompts.size(); ++i) {
    try {
      tokens.push_back(state_->tokens_of(prompts[i]));
      state_->executor->check(tokens[i], params[i]);
    } catch (Error& e) {
      if (prompts.size() > 1) e.add_context(fmt::format("prompt {}", i));
      throw;
    }
  }

  api::Generation generation(*state_->executor, state_->pieces(), sink, on_end);
  generation.reserve(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    try {
      serving::Request request = generation.make_request(i, std::move(tokens[i]), params[i]);
      generation.set_id(i, std::get<serving::RequestId>(state_->executor->submit(
                               std::move(request), generation.make_sink(i))));
    } catch (...) {  // no memory: the engine's thread must be done with those before
      generation.abandon_from(i);
      throw;
    }
  }
  return generation.wait(should_stop);
}

RequestOutput LLM::generate(const Prompt& prompt, const SamplingParams& params,
                            const TextSink& sink, const StopCheck& should_stop) {
  return generate(std::span(&prompt, 1), std::span(&params, 1), sink, {}, should_stop).front();
}

Prompt LLM::apply_chat_template(std::span<const ChatMessage> messages) const {
  const text::Tokenizer& tokenizer = state_->require_tokenizer();
  if (!state_->text.chat_templates)
    throw Error(ErrorKind::unsupported, "the model has no chat template",
                "use `veloz run`, which continues a text");
  text::ChatInput input;
  for (const ChatMessage& message : messages)
    input.messages.push_back(text::chat_message(message.role, message.content));
  input.bos_token = state_->text.special_tokens.bos;
  input.eos_token = state_->text.special_tokens.eos;
  input.clock = [] {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    return local;
  };
  // The template writes the special tokens itself.
  return tokenizer.encode(state_->text.chat_templates->render(input),
                          {.add_special_tokens = false});
}

std::vector<int32_t> LLM::encode(std::string_view text) const {
  return state_->require_tokenizer().encode(text);
}

std::string LLM::decode(std::span<const int32_t> token_ids) const {
  return state_->require_tokenizer().decode(token_ids);
}

SamplingParams LLM::default_params() const {
  const std::string& text = state_->engine.manifest().model.generation_config;
  if (text.empty()) return checkpoint::GenerationConfig{}.sampling_params();
  return checkpoint::parse_generation_config(text).sampling_params();
}

int64_t LLM::max_model_len() const { return state_->engine.plan().limits.max_model_len; }
int64_t LLM::vocab_size() const { return state_->engine.manifest().model.vocab_size; }
std::string LLM::description() const { return state_->description; }

}  // namespace veloz
