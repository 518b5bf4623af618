// SPDX-License-Identifier: Apache-2.0
#include "veloz/llm.h"

#include <fmt/format.h>

#include <utility>

#include "api/generation.h"
#include "api/llm_state.h"
#include "api/loaded_model.h"
#include "base/error.h"
#include "serving/executor.h"

namespace veloz {

LLM::LLM(std::unique_ptr<State> state) : state_(std::move(state)) {}
LLM::~LLM() = default;
LLM::LLM(LLM&&) noexcept = default;
LLM& LLM::operator=(LLM&&) noexcept = default;

LLM LLM::load(const std::filesystem::path& engine, const LLMOptions& options) {
  LLMOptions unbounded = options;  // who calls generate waits anyway
  unbounded.max_queued_requests = unbounded.max_queued_tokens = 0;
  return LLM(std::make_unique<State>(State{std::make_shared<api::LoadedModel>(engine, unbounded)}));
}

std::vector<RequestOutput> LLM::generate(std::span<const Prompt> prompts,
                                         std::span<const SamplingParams> params,
                                         const TextSink& sink, const EndSink& on_end,
                                         const StopCheck& should_stop) {
  api::LoadedModel& model = *state_->model;
  serving::Executor& executor = model.executor();
  if (prompts.size() != params.size())
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} prompts with parameters for {}", prompts.size(), params.size()));
  std::vector<serving::Request> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    try {
      serving::Request& request = requests.emplace_back();
      request.prompt_tokens = model.tokens_of(prompts[i]);
      request.params = params[i];
      executor.check(request.prompt_tokens, request.params);
      request.bad_words = model.bad_words_of(request.params);
    } catch (Error& e) {
      if (prompts.size() > 1) e.add_context(fmt::format("prompt {}", i));
      throw;
    }
  }

  api::Generation generation(executor, model.pieces(), sink, on_end);
  generation.submit(std::move(requests));
  return generation.wait(should_stop);
}

RequestOutput LLM::generate(const Prompt& prompt, const SamplingParams& params,
                            const TextSink& sink, const StopCheck& should_stop) {
  return generate(std::span(&prompt, 1), std::span(&params, 1), sink, {}, should_stop).front();
}

Prompt LLM::apply_chat_template(std::span<const ChatMessage> messages) const {
  state_->model->require_tokenizer();
  std::vector<text::jinja::Value> values;
  for (const ChatMessage& message : messages)
    values.push_back(text::chat_message(message.role, message.content));
  return state_->model->text().encode_chat(std::move(values));
}

std::vector<int32_t> LLM::encode(std::string_view text) const {
  return state_->model->require_tokenizer().encode(text);
}

std::string LLM::decode(std::span<const int32_t> token_ids) const {
  return state_->model->require_tokenizer().decode(token_ids);
}

SamplingParams LLM::default_params() const { return state_->model->default_params(); }

int64_t LLM::max_model_len() const { return state_->model->engine().plan().limits.max_model_len; }
int64_t LLM::vocab_size() const { return state_->model->engine().manifest().model.vocab_size; }
ExecutorStats LLM::stats() const { return state_->model->stats(); }
std::string LLM::warning() const { return state_->model->warning(); }
std::vector<std::string> LLM::notices() const { return state_->model->notices(); }
std::string LLM::description() const { return state_->model->description(); }

}  // namespace veloz
