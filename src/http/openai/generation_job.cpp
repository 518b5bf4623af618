// SPDX-License-Identifier: Apache-2.0
#include "http/openai/generation_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

void check_at_most(std::string_view param, const std::optional<int64_t>& value, int64_t limit) {
  if (!value || *value <= limit) return;
  throw RequestError(
      {.param = std::string(param)},
      fmt::format("\"{}\" is {}, this server gives at most {}", param, *value, limit),
      "ask for fewer, or start the server with a higher --max-logprobs");
}

void check_beams(const Context& context, const GenerationFields& fields) {
  const int64_t limit = context.model.engine().plan().limits.max_beam_width;
  if (fields.params.num_beams <= std::max<int64_t>(limit, 1)) return;
  throw RequestError({.param = fields.best_of ? "best_of" : "n"},
                     fmt::format("beam search with {} beams: this model was built for at most {}",
                                 fields.params.num_beams, limit),
                     "ask for fewer choices");
}

}  // namespace

void check_logprobs(const Context& context, const GenerationFields& fields,
                    std::string_view logprobs_param) {
  check_at_most(logprobs_param, fields.params.logprobs, context.max_logprobs);
  check_at_most("prompt_logprobs", fields.params.prompt_logprobs, context.max_logprobs);
}

void fit_prompt(const Context& context, const GenerationFields& fields, std::string_view param,
                std::vector<int32_t>& tokens) {
  const int64_t max_len = context.max_model_len;
  if (fields.truncate_prompt_tokens) {
    const int64_t wanted = *fields.truncate_prompt_tokens == -1
                               ? max_len - fields.max_tokens.value_or(1)
                               : *fields.truncate_prompt_tokens;
    const int64_t keep = std::clamp<int64_t>(wanted, 1, max_len);
    if (std::ssize(tokens) > keep) tokens.erase(tokens.begin(), tokens.end() - keep);
  }
  if (tokens.empty())
    throw RequestError({.param = std::string(param)}, "the prompt has no tokens",
                       "give at least one character or token");
  if (std::ssize(tokens) >= max_len)
    throw RequestError(
        {.param = std::string(param), .code = "context_length_exceeded"},
        fmt::format("the prompt has {} tokens, which leaves no room for an answer: this model's "
                    "maximum context length is {} tokens",
                    tokens.size(), max_len),
        "shorten it, or set truncate_prompt_tokens");
  const int64_t left = max_len - std::ssize(tokens);
  if (fields.max_tokens && *fields.max_tokens > left)
    throw RequestError(
        {.param = "max_tokens", .code = "context_length_exceeded"},
        fmt::format("the prompt has {} tokens and \"max_tokens\" is {}: this model's maximum "
                    "context length is {} tokens",
                    tokens.size(), *fields.max_tokens, max_len),
        fmt::format("lower max_tokens to {}, or shorten the prompt", left));
}

int64_t choose_max_tokens(const Context& context, const GenerationFields& fields,
                          int64_t num_prompt_tokens) {
  const int64_t left = context.max_model_len - num_prompt_tokens;
  if (fields.max_tokens) return *fields.max_tokens;
  return std::max(std::min(context.defaults.max_tokens.value_or(left), left),
                  std::min(fields.params.min_tokens, left));
}

AnswerPlan make_plan(const Context& context, const GenerationFields& fields,
                     const net::Request& request, std::string_view id_prefix) {
  const std::string id = fields.request_id.empty() ? request.id : fields.request_id;
  const bool is_beam_search = fields.params.num_beams > 1;
  check_beams(context, fields);
  AnswerPlan plan;
  plan.id = std::string(id_prefix) + id;
  plan.model = context.require_model(fields.model);
  plan.fingerprint = context.fingerprint;
  plan.created = now_s();
  plan.pieces = &context.model.pieces();
  plan.params = fields.params;
  plan.special = fields.skip_special_tokens ? text::SpecialTokens::skip : text::SpecialTokens::keep;
  plan.n = fields.params.n;
  plan.num_generated = is_beam_search ? plan.n : fields.best_of.value_or(plan.n);
  plan.params.n = plan.num_generated;
  // Ranking needs them, whether they are shown or not.
  if (plan.num_generated > plan.n && !plan.params.logprobs) plan.params.logprobs = 0;
  plan.include_usage = fields.include_usage;
  plan.continuous_usage_stats = fields.continuous_usage_stats;
  plan.echo = fields.echo;
  plan.return_token_ids = fields.return_token_ids;
  plan.tokens_as_token_ids = fields.tokens_as_token_ids;
  plan.logprobs = fields.params.logprobs.has_value();
  plan.prompt_logprobs = fields.answers_prompt_logprobs;
  return plan;
}

Job make_job(std::shared_ptr<net::Exchange> exchange, const GenerationFields& fields,
             std::unique_ptr<Answer> answer, StructuredOutput structured_output) {
  Job job{.exchange = std::move(exchange),
          .answer = nullptr,
          .params = answer->plan().params,
          .priority = fields.priority,
          .cache_salt = fields.cache_salt,
          .structured_output = std::move(structured_output)};
  job.answer = std::move(answer);
  return job;
}

}  // namespace veloz::http::openai
