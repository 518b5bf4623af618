// SPDX-License-Identifier: Apache-2.0
#include "http/openai/completion_request.h"

#include <fmt/format.h>

#include "http/openai/field_reader.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

constexpr size_t kMaxPrompts = 1024;
constexpr int64_t kDefaultMaxTokens = 16;  // OpenAI's, of this endpoint

constexpr std::string_view kPromptSchema = R"({"anyOf":[{"type":"string"},
  {"type":"array","items":{"type":"string"},"minItems":1,"maxItems":1024},
  {"type":"array","items":{"type":"integer","minimum":0},"minItems":1},
  {"type":"array","items":{"type":"array","items":{"type":"integer","minimum":0},"minItems":1},
   "minItems":1,"maxItems":1024}]})";
constexpr std::string_view kEmptySchema = R"({"enum":[null,""]})";

void refuse_suffix(const Json& value) {
  if (value.is_string() && value.as_string().empty()) return;
  throw RequestError({.param = "suffix"}, "\"suffix\" is not supported",
                     "this server does not fill in the middle");
}

}  // namespace

std::vector<PromptInput> read_prompts(const Json& value) {
  if (value.is_string()) return {std::string(value.as_string())};
  if (!value.is_sequence())
    refuse("prompt", value, "a string, a list of strings, token ids or a list of such lists");
  const Json::Items& items = value.items();
  if (items.empty()) throw RequestError({.param = "prompt"}, "\"prompt\" is an empty list");
  if (!items.front().is_string() && !items.front().is_sequence())
    return {read_token_ids("prompt", value)};
  if (items.size() > kMaxPrompts)
    refuse("prompt", value, fmt::format("a list of at most {} prompts", kMaxPrompts));
  std::vector<PromptInput> prompts;
  for (const Json& item : items) {
    const std::string param = element("prompt", prompts.size());
    if (items.front().is_string()) {
      prompts.emplace_back(read_string(param, item));
      continue;
    }
    std::vector<int32_t> ids = read_token_ids(param, item);
    if (ids.empty()) throw RequestError({.param = param}, fmt::format("\"{}\" is empty", param));
    prompts.emplace_back(std::move(ids));
  }
  return prompts;
}

void visit_completion_request(FieldVisitor& visitor, CompletionRequest& request) {
  GenerationFields& generation = request.generation;
  visitor.complex(
      {.name = "prompt",
       .schema = kPromptSchema,
       .doc = "What to go on with: a text, token ids, or a list of at most 1,024 of these, "
              "each of which has `n` choices of its own.",
       .read = [&request](const Json& value) { request.prompts = read_prompts(value); },
       .is_required = true});
  visitor.integer("max_tokens", generation.max_tokens, {.min = 0},
                  "New tokens at most, 16 where absent; 0 only with `echo`.");
  visitor.integer("logprobs", generation.params.logprobs, {.min = 0, .max = 1000},
                  "Gives the log-probability of each token, and of that many of the likeliest.");
  visitor.boolean("echo", generation.echo, "The text begins with the prompt.");
  visitor.integer("best_of", generation.best_of, {.min = 1, .max = 1024},
                  "Of that many choices the `n` with the highest log-probability per token; with "
                  "beam search, how many beams.");
  visitor.boolean("add_special_tokens", request.add_special_tokens,
                  "The tokenizer adds its special tokens to a prompt of text.");
  visitor.complex({.name = "suffix",
                   .schema = kEmptySchema,
                   .doc = "Not supported: a value is refused.",
                   .read = refuse_suffix});
  visit_generation_fields(visitor, generation);
}

CompletionRequest parse_completion_request(const Json& body, const SamplingParams& defaults) {
  CompletionRequest request;
  GenerationFields& generation = request.generation;
  generation.params = wants_beam_search(body) ? SamplingParams{} : defaults;
  FieldReader reader(body);
  visit_completion_request(reader, request);
  if (!generation.max_tokens) generation.max_tokens = kDefaultMaxTokens;
  request.is_echo_only = *generation.max_tokens == 0;
  if (request.is_echo_only && !generation.echo)
    throw RequestError({.param = "max_tokens"}, "\"max_tokens\" is 0, it must be at least 1",
                       "0 is for \"echo\": true, which then gives the prompt alone");
  if (request.is_echo_only) generation.max_tokens = 1;
  settle_generation_fields(generation);
  if (generation.echo && generation.params.logprobs && !generation.params.prompt_logprobs)
    generation.params.prompt_logprobs = generation.params.logprobs;
  return request;
}

}  // namespace veloz::http::openai
