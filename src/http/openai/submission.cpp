// SPDX-License-Identifier: Apache-2.0
#include "http/openai/submission.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>
#include <variant>

#include "api/grammar_mask.h"
#include "http/errors.h"
#include "http/openai/error_response.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

constexpr size_t kMaxChoicesInAll = 4096;             // of one request
constexpr size_t kMaxStopBytes = size_t{1} << 20;     // of all choices: each has a matcher
constexpr size_t kMaxBadWordBytes = size_t{1} << 20;  // of all prompts: each has its list

void check_bytes(std::string_view param, const std::vector<std::string>& texts, size_t times,
                 size_t limit) {
  size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size() + 1;
  if (bytes * times <= limit) return;
  throw RequestError({.param = std::string(param)},
                     fmt::format("\"{}\" has {} bytes, {} times over; the limit is {} bytes", param,
                                 bytes, times, limit),
                     "give fewer or shorter texts, or ask for less at once");
}

// Each is harmless alone; multiplied they are not.
void check_size(const AnswerPlan& plan) {
  const size_t num_choices = plan.prompts.size() * static_cast<size_t>(plan.num_generated);
  if (num_choices > kMaxChoicesInAll)
    throw RequestError(
        {.param = "n"},
        fmt::format("{} prompts with {} choices each are {} choices, the limit is {}",
                    plan.prompts.size(), plan.num_generated, num_choices, kMaxChoicesInAll),
        "send several requests");
  check_bytes("stop", plan.params.stop, num_choices, kMaxStopBytes);
  check_bytes("bad_words", plan.params.bad_words, plan.prompts.size(), kMaxBadWordBytes);
}

// Parameters that the engine checks, under the names it has for them.
struct CheckedParameter {
  std::string_view name;
  std::string_view param;  // the client's name
};
constexpr CheckedParameter kCheckedParameters[] = {{"max_tokens", "max_tokens"},
                                                   {"min_tokens", "min_tokens"},
                                                   {"temperature", "temperature"},
                                                   {"top_k", "top_k"},
                                                   {"top_p", "top_p"},
                                                   {"min_p", "min_p"},
                                                   {"presence_penalty", "presence_penalty"},
                                                   {"frequency_penalty", "frequency_penalty"},
                                                   {"logit_bias", "logit_bias"},
                                                   {"stop strings", "stop"},
                                                   {"stop_token_ids", "stop_token_ids"},
                                                   {"bad_words", "bad_words"},
                                                   {"prompt_logprobs", "prompt_logprobs"},
                                                   {"logprobs", "logprobs"},
                                                   {"num_beams", "n"},
                                                   {"bad word", "bad_words"},
                                                   {"stop ", "stop"},
                                                   {"n ", "n"}};

// The engine's errors begin with the parameter they are about.
[[noreturn]] void rethrow_with_param(const Error& error, const AnswerPlan& plan) {
  size_t first = 40;  // names stand at the start
  std::string param;
  for (const CheckedParameter& checked : kCheckedParameters) {
    const size_t at = error.message().find(checked.name);
    const bool is_word = at == 0 || (at != std::string::npos && error.message()[at - 1] == ' ');
    if (!is_word || at >= first) continue;
    first = at;
    param = checked.param;
  }
  if (param == "n" && plan.num_generated > plan.n) param = "best_of";
  throw RequestError({.param = param}, error.message(), error.hint());
}

}  // namespace

Submitter::Submitter(const Context& context, Metrics& metrics,
                     const GrammarCache::Options& grammars)
    : context_(context), metrics_(metrics), grammars_(grammars) {}

void Submitter::check(const AnswerPlan& plan) const {
  check_size(plan);
  try {
    for (const AnswerPlan::Prompt& prompt : plan.prompts)
      context_.model.executor().check(prompt.tokens, plan.params);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::invalid_input) throw;
    rethrow_with_param(e, plan);
  }
}

void Submitter::submit(Job job) {
  if (!job.structured_output.is_set()) return submit_with(job, nullptr);
  // A callback must be copyable.
  auto shared = std::make_shared<Job>(std::move(job));
  const auto go_on = [this, shared](const grammar::GrammarPtr& grammar,
                                    const std::exception_ptr& error) {
    if (error) return shared->exchange->respond(error_response_of(error));
    try {
      submit_with(*shared, grammar);
    } catch (...) {
      shared->exchange->respond(error_response_of(std::current_exception()));
    }
  };
  grammars_.get(shared->structured_output, go_on);
}

std::shared_ptr<const grammar::Vocabulary> Submitter::vocabulary() {
  std::call_once(vocabulary_made_, [&] {
    const engine::ModelFacts& facts = context_.model.engine().manifest().model;
    const std::vector<int32_t> ends(facts.eos_token_ids.begin(), facts.eos_token_ids.end());
    vocabulary_ = grammar::make_vocabulary(context_.model.pieces(), facts.vocab_size, ends);
  });
  return vocabulary_;
}

serving::Request Submitter::make_request(const Job& job, size_t prompt_idx,
                                         const grammar::GrammarPtr& grammar) {
  serving::Request request{.prompt_tokens = job.answer->plan().prompts[prompt_idx].tokens,
                           .params = job.params,
                           .bad_words = context_.model.bad_words_of(job.params),
                           .priority = job.priority,
                           .cache_salt = job.cache_salt,
                           .label = job.exchange->request().id};
  if (grammar == nullptr) return request;
  for (int64_t i = 0; i < job.params.n; ++i)
    request.masks.push_back(std::make_unique<api::GrammarMask>(grammar, vocabulary()));
  // Where the grammar ends, the end of the sequence is all that may come.
  request.params.ignore_eos = false;
  return request;
}

void Submitter::submit_with(Job& job, const grammar::GrammarPtr& grammar) {
  const size_t num_prompts = job.answer->plan().prompts.size();
  std::vector<serving::Request> requests;
  for (size_t i = 0; i < num_prompts; ++i) requests.push_back(make_request(job, i, grammar));
  const text::SpecialTokens special = job.answer->plan().special;
  const auto stream = std::make_shared<GenerationStream>(job.exchange, std::move(job.answer),
                                                         context_.model.executor(), metrics_);
  stream->start();
  std::vector<serving::Submittal> batch;
  for (size_t i = 0; i < num_prompts; ++i) {
    std::shared_ptr<std::vector<api::TextChoice>> texts;
    if (!job.params.stop.empty()) {
      texts = std::make_shared<std::vector<api::TextChoice>>(
          api::make_text_choices(context_.model.pieces(), job.params, special));
      requests[i].observer = api::make_stop_observer(job.params, texts);
    }
    batch.push_back({std::move(requests[i]), stream->make_sink(i, std::move(texts))});
  }
  auto answer = context_.model.executor().submit(std::move(batch));
  if (const auto* full = std::get_if<serving::QueueFull>(&answer))
    return job.exchange->respond(response_of(*full));
  stream->set_ids(std::get<std::vector<serving::RequestId>>(std::move(answer)));
}

}  // namespace veloz::http::openai
