// SPDX-License-Identifier: Apache-2.0
#include "http/openai/generation_fields.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "http/openai/field_reader.h"
#include "http/openai/request_error.h"
#include "serving/sampling_params.h"

namespace veloz::http::openai {
namespace {

constexpr int64_t kMaxChoices = 1024;  // beyond any engine's max_num_seqs
constexpr size_t kMaxRequestIdBytes = 128;
constexpr size_t kMaxSaltBytes = 1024;  // 256 characters of any script

constexpr std::string_view kStopSchema =
    R"({"anyOf":[{"type":"string","minLength":1},{"type":"array","maxItems":64,"items":{"type":"string","minLength":1}}]})";
constexpr std::string_view kBadWordsSchema =
    R"({"type":"array","maxItems":256,"items":{"type":"string"}})";
constexpr std::string_view kStopTokenIdsSchema =
    R"({"type":"array","maxItems":64,"items":{"type":"integer","minimum":0,"maximum":2147483647}})";
constexpr std::string_view kLogitBiasSchema =
    R"({"type":"object","maxProperties":1024,"additionalProperties":{"type":"number","minimum":-100,"maximum":100}})";
static_assert(serving::kMaxStopStrings == 64 && serving::kMaxStopTokenIds == 64 &&
                  serving::kMaxBadWords == 256 && serving::kMaxLogitBiases == 1024,
              "the schemas say the engine's limits");
constexpr std::string_view kEarlyStoppingSchema =
    R"({"anyOf":[{"type":"boolean"},{"const":"never"}]})";
constexpr std::string_view kStreamOptionsSchema =
    R"({"type":"object","properties":{"include_usage":{"type":"boolean"},"continuous_usage_stats":{"type":"boolean"}}})";
constexpr std::string_view kSeedSchema = R"({"type":"integer"})";

void read_stop(SamplingParams& params, const Json& value) {
  if (value.is_string())
    params.stop = {std::string(value.as_string())};
  else if (value.is_sequence())
    params.stop = read_strings("stop", value);
  else
    refuse("stop", value, "a string or a list of strings");
  for (size_t i = 0; i < params.stop.size(); ++i)
    if (params.stop[i].empty())
      throw RequestError({.param = "stop"}, "a stop string is empty",
                         "leave it out: an empty string matches everywhere");
}

int32_t read_token_key(const Json& key) {
  const std::string_view text = key.as_string();
  int32_t id = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), id);
  if (result.ec != std::errc{} || result.ptr != text.data() + text.size() || id < 0)
    refuse("logit_bias", key, "an object whose keys are token ids");
  return id;
}

void read_logit_bias(SamplingParams& params, const Json& value) {
  params.logit_bias.clear();
  for (const auto& [key, bias] : read_object("logit_bias", value).pairs()) {
    const int32_t id = read_token_key(key);
    const double number = read_number(member("logit_bias", key.as_string()), bias, {-100, 100});
    params.logit_bias.emplace_back(id, static_cast<float>(number));
  }
}

void read_early_stopping(SamplingParams& params, const Json& value) {
  if (value.is_string() && value.as_string() == "never")
    params.early_stopping = EarlyStopping::never;
  else if (value.kind() == text::jinja::Kind::boolean)
    params.early_stopping = value.as_boolean() ? EarlyStopping::yes : EarlyStopping::no;
  else
    refuse("early_stopping", value, "true, false or \"never\"");
}

void read_stream_options(GenerationFields& fields, const Json& value) {
  read_object("stream_options", value);
  if (const Json* flag = find_field(value, "include_usage"))
    fields.include_usage = read_boolean("stream_options.include_usage", *flag);
  if (const Json* flag = find_field(value, "continuous_usage_stats"))
    fields.continuous_usage_stats = read_boolean("stream_options.continuous_usage_stats", *flag);
}

void read_request_id(GenerationFields& fields, const Json& value) {
  fields.request_id = read_string("request_id", value);
  const bool is_fit = fields.request_id.size() <= kMaxRequestIdBytes &&
                      fields.request_id.find_first_not_of(
                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:") ==
                          std::string::npos;
  if (!is_fit || fields.request_id.empty())
    refuse("request_id", value,
           fmt::format("1 to {} letters, digits or any of -_.:", kMaxRequestIdBytes));
}

void visit_sampling(FieldVisitor& visitor, SamplingParams& params) {
  visitor.number("temperature", params.temperature, {.min = 0},
                 "0 takes the likeliest token; above, the higher the more varied.");
  visitor.number("top_p", params.top_p, {.min = 0, .max = 1, .excludes_min = true},
                 "Samples among the likeliest tokens that together have this probability.");
  visitor.integer("top_k", params.top_k, {.min = -1, .max = std::numeric_limits<int32_t>::max()},
                  "Samples among that many of the likeliest tokens; 0 and -1 are off.");
  visitor.number("min_p", params.min_p, {.min = 0, .max = 1, .excludes_max = true},
                 "Leaves out tokens less likely than this times the likeliest.");
  visitor.number("repetition_penalty", params.repetition_penalty, {.min = 0, .excludes_min = true},
                 "Above 1 discourages tokens of the prompt and the output.");
  visitor.number("presence_penalty", params.presence_penalty, {-2, 2},
                 "Discourages tokens that the output has.");
  visitor.number("frequency_penalty", params.frequency_penalty, {-2, 2},
                 "Discourages tokens by how often the output has them.");
  visitor.integer("no_repeat_ngram_size", params.no_repeat_ngram_size, {.min = 0, .max = 1 << 20},
                  "No run of that many tokens comes twice; 0 is off.");
  visitor.complex({.name = "seed",
                   .schema = kSeedSchema,
                   .doc = "Makes sampling repeatable; absent, it is drawn.",
                   .read = [&params](const Json& value) {
                     params.seed = static_cast<uint64_t>(read_integer("seed", value));
                   }});
  visitor.complex({.name = "logit_bias",
                   .schema = kLogitBiasSchema,
                   .doc = "Added to the logits of these token ids, 1,024 at most: -100 to 100.",
                   .read = [&params](const Json& value) { read_logit_bias(params, value); }});
  visitor.complex({.name = "bad_words",
                   .schema = kBadWordsSchema,
                   .doc = "Texts that the output must not hold, 256 at most.",
                   .read = [&params](const Json& value) {
                     params.bad_words = read_strings("bad_words", value);
                   }});
}

void visit_ending(FieldVisitor& visitor, GenerationFields& fields) {
  SamplingParams& params = fields.params;
  visitor.integer("min_tokens", params.min_tokens, {.min = 0},
                  "No end of sequence, stop id or stop string ends the output before.");
  visitor.complex({.name = "stop",
                   .schema = kStopSchema,
                   .doc = "The output ends before the first of these texts, 64 at most.",
                   .read = [&params](const Json& value) { read_stop(params, value); }});
  visitor.complex({.name = "stop_token_ids",
                   .schema = kStopTokenIdsSchema,
                   .doc = "The output ends with any of these tokens, 64 at most.",
                   .read = [&params](const Json& value) {
                     params.stop_token_ids = read_token_ids("stop_token_ids", value);
                   }});
  visitor.boolean("include_stop_str_in_output", params.include_stop_str_in_output,
                  "The output holds the stop string that ended it.");
  visitor.boolean("ignore_eos", params.ignore_eos, "The end of sequence does not end the output.");
  visitor.boolean("skip_special_tokens", fields.skip_special_tokens,
                  "Special tokens are left out of the text.");
}

void visit_beams(FieldVisitor& visitor, GenerationFields& fields) {
  visitor.integer("n", fields.params.n, {.min = 1, .max = kMaxChoices},
                  "How many choices; with beam search also how many beams.");
  visitor.boolean("use_beam_search", fields.use_beam_search,
                  "Searches with `best_of` (or `n`) beams instead of sampling.");
  visitor.number("length_penalty", fields.params.length_penalty, {-100, 100},
                 "Of beam search: a choice's score is its log-probability / length ^ this.");
  visitor.complex(
      {.name = "early_stopping",
       .schema = kEarlyStoppingSchema,
       .doc = "Of beam search: when it is over.",
       .read = [&fields](const Json& value) { read_early_stopping(fields.params, value); }});
}

void visit_delivery(FieldVisitor& visitor, GenerationFields& fields) {
  visitor.boolean("stream", fields.is_streamed, "Answers with server-sent events, as text comes.");
  visitor.complex({.name = "stream_options",
                   .schema = kStreamOptionsSchema,
                   .doc = "`include_usage`: a last event with the usage. "
                          "`continuous_usage_stats`: the usage so far in every event.",
                   .read = [&fields](const Json& value) { read_stream_options(fields, value); }});
  visitor.integer("prompt_logprobs", fields.params.prompt_logprobs, {.min = 0, .max = 1000},
                  "Log-probabilities of the prompt's tokens, and of that many of the likeliest.");
  visitor.boolean("return_token_ids", fields.return_token_ids,
                  "Gives the token ids of prompt and output.");
  visitor.boolean("return_tokens_as_token_ids", fields.tokens_as_token_ids,
                  "Log-probabilities name tokens as \"token_id:17\".");
  visitor.integer("truncate_prompt_tokens", fields.truncate_prompt_tokens, {.min = -1},
                  "Keeps that many tokens at the end of the prompt; -1: as many as fit.");
  visitor.integer("priority", fields.priority, {.min = -(int64_t{1} << 31), .max = 1LL << 31},
                  "Lower runs first: a level is worth ten seconds of waiting, levels beyond -100 "
                  "and 100 count as these. Nobody who runs is paused for an arrival, only where KV "
                  "memory runs out.");
  visitor.complex(
      {.name = "cache_salt",
       .schema = R"({"type":"string","maxLength":256})",
       .doc = "Cached prefixes are shared only among requests of one salt, 1,024 bytes at most.",
       .read = [&fields](const Json& value) {
         fields.cache_salt = read_string("cache_salt", value);
         if (fields.cache_salt.size() > kMaxSaltBytes)
           refuse("cache_salt", value, fmt::format("a string of at most {} bytes", kMaxSaltBytes));
       }});
  visitor.complex(
      {.name = "request_id",
       .schema = R"({"type":"string","pattern":"^[A-Za-z0-9_.:-]{1,128}$"})",
       .doc = "The end of the answer's id, 1 to 128 letters, digits or any of -_.:; absent, "
              "x-request-id or drawn.",
       .read = [&fields](const Json& value) { read_request_id(fields, value); }});
}

}  // namespace

void visit_generation_fields(FieldVisitor& visitor, GenerationFields& fields) {
  visitor.string("model", fields.model, "One of the names at /v1/models; absent, the first.");
  visit_sampling(visitor, fields.params);
  visit_ending(visitor, fields);
  visit_beams(visitor, fields);
  visit_delivery(visitor, fields);
  visit_structured_output(visitor, fields.structured_output);
  visitor.ignored("user", "Accepted; nothing is done with it.");
  visitor.ignored("spaces_between_special_tokens", "Accepted; nothing is done with it.");
  refuse_field(visitor, "allowed_token_ids", "use structured_outputs");
  refuse_field(visitor, "logits_processors", "use structured_outputs or logit_bias");
}

void settle_generation_fields(GenerationFields& fields) {
  SamplingParams& params = fields.params;
  if (params.top_k == -1) params.top_k = 0;
  if (fields.max_tokens && params.min_tokens > *fields.max_tokens)
    throw RequestError({.param = "min_tokens"},
                       fmt::format("\"min_tokens\" is {}, over \"max_tokens\", {}",
                                   params.min_tokens, *fields.max_tokens),
                       "lower min_tokens or raise max_tokens");
  if (fields.best_of && *fields.best_of < params.n)
    throw RequestError({.param = "best_of"},
                       fmt::format("\"best_of\" is {}, below \"n\", {}", *fields.best_of, params.n),
                       "best_of counts the choices that the n best are taken of");
  if (fields.use_beam_search) params.num_beams = fields.best_of.value_or(params.n);
  if (!fields.use_beam_search && fields.best_of && *fields.best_of > params.n && fields.is_streamed)
    throw RequestError({.param = "best_of"}, "\"best_of\" cannot be streamed",
                       "leave \"stream\" out, or set best_of to n");
  // One beam is the likeliest token each time.
  if (fields.use_beam_search && params.num_beams == 1) params.temperature = 0;
  if (fields.structured_output.is_set() && params.num_beams > 1)
    throw RequestError(
        {.param = fields.structured_output.param},
        fmt::format("\"{}\" cannot be combined with beam search", fields.structured_output.param),
        "leave use_beam_search out");
  fields.answers_prompt_logprobs = params.prompt_logprobs.has_value();
  if (fields.is_streamed && params.prompt_logprobs)
    throw RequestError({.param = "prompt_logprobs"}, "\"prompt_logprobs\" cannot be streamed",
                       "leave \"stream\" out");
  if (!fields.is_streamed && (fields.include_usage || fields.continuous_usage_stats))
    throw RequestError({.param = "stream_options"},
                       "\"stream_options\" is only for \"stream\": true");
}

bool wants_beam_search(const Json& body) {
  const Json* flag = find_field(body, "use_beam_search");
  return flag != nullptr && flag->kind() == text::jinja::Kind::boolean && flag->as_boolean();
}

}  // namespace veloz::http::openai
