// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/openai/context.h"
#include "http/openai/generation_fields.h"
#include "http/openai/submission.h"

namespace veloz::http::openai {

/// What both generating endpoints do with the fields they share.

/// Throws RequestError where more log-probabilities are asked for than the server gives.
void check_logprobs(const Context& context, const GenerationFields& fields,
                    std::string_view logprobs_param);
/// Cuts the prompt where the request says so, and throws RequestError where it or max_tokens does
/// not fit the model's length.
void fit_prompt(const Context& context, const GenerationFields& fields, std::string_view param,
                std::vector<int32_t>& tokens);
/// New tokens at most behind a prompt of this length.
int64_t choose_max_tokens(const Context& context, const GenerationFields& fields,
                          int64_t num_prompt_tokens);

/// The answer's plan without its prompts and what only one endpoint knows.
AnswerPlan make_plan(const Context& context, const GenerationFields& fields,
                     const net::Request& request, std::string_view id_prefix);

/// The job of a plan that is complete.
Job make_job(std::shared_ptr<net::Exchange> exchange, const GenerationFields& fields,
             std::unique_ptr<Answer> answer, StructuredOutput structured_output);

}  // namespace veloz::http::openai
