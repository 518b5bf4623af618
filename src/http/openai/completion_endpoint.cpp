// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "http/openai/completion_request.h"
#include "http/openai/endpoints.h"
#include "http/openai/field_reader.h"
#include "http/openai/generation_job.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

void check_token_ids(const Context& context, const std::string& param,
                     const std::vector<int32_t>& ids) {
  const int64_t vocab_size = context.model.engine().manifest().model.vocab_size;
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] >= vocab_size)
      throw RequestError({.param = param},
                         fmt::format("\"{}\" has the token id {}, the vocabulary ends at {}",
                                     element(param, i), ids[i], vocab_size - 1),
                         "tokenise the prompt with this model's tokenizer");
}

AnswerPlan::Prompt make_prompt(const Context& context, const CompletionRequest& request,
                               size_t prompt_idx) {
  const PromptInput& input = request.prompts[prompt_idx];
  const std::string param = request.prompts.size() == 1 ? "prompt" : element("prompt", prompt_idx);
  AnswerPlan::Prompt prompt;
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&input)) {
    check_token_ids(context, param, *ids);
    prompt.tokens = *ids;
  } else {
    prompt.tokens = context.model.require_tokenizer().encode(
        std::get<std::string>(input), {.add_special_tokens = request.add_special_tokens});
  }
  fit_prompt(context, request.generation, param, prompt.tokens);
  if (!request.generation.echo) return prompt;
  const auto* text = std::get_if<std::string>(&input);
  prompt.echo = text != nullptr ? *text
                                : text::decode_all(context.model.pieces(), prompt.tokens,
                                                   text::SpecialTokens::skip);
  return prompt;
}

}  // namespace

void complete_text(const Context& context, Submitter& submitter,
                   const std::shared_ptr<net::Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const CompletionRequest request = parse_completion_request(body, context.defaults.params);
  const GenerationFields& fields = request.generation;
  AnswerPlan plan = make_plan(context, fields, exchange->request(), "cmpl-");
  check_logprobs(context, fields, "logprobs");
  plan.is_echo_only = request.is_echo_only;
  plan.params.max_tokens = *fields.max_tokens;
  for (size_t i = 0; i < request.prompts.size(); ++i)
    plan.prompts.push_back(make_prompt(context, request, i));
  submitter.check(plan);
  submitter.submit(make_job(exchange, fields,
                            create_completion_answer(std::move(plan), fields.is_streamed),
                            fields.structured_output));
}

}  // namespace veloz::http::openai
