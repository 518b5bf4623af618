// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/generation_config.h"

#include "base/error.h"
#include "checkpoint/config_fields.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 28;

std::optional<EarlyStopping> parse_early_stopping(const ConfigFields& fields) {
  if (!fields.has("early_stopping")) return std::nullopt;
  if (fields.at("early_stopping") == "never") return EarlyStopping::never;
  return *fields.try_bool("early_stopping") ? EarlyStopping::yes : EarlyStopping::no;
}

}  // namespace

SamplingParams GenerationConfig::sampling_params() const {
  SamplingParams params;
  params.repetition_penalty = repetition_penalty.value_or(params.repetition_penalty);
  params.max_tokens = max_new_tokens.value_or(params.max_tokens);
  params.min_tokens = min_new_tokens.value_or(params.min_tokens);
  params.num_beams = num_beams.value_or(params.num_beams);
  params.length_penalty = length_penalty.value_or(params.length_penalty);
  params.no_repeat_ngram_size = no_repeat_ngram_size.value_or(params.no_repeat_ngram_size);
  params.early_stopping = early_stopping.value_or(params.early_stopping);
  if (!do_sample.value_or(false) || params.num_beams > 1) {
    params.temperature = 0;
    return params;
  }
  params.temperature = temperature.value_or(params.temperature);
  params.top_p = top_p.value_or(params.top_p);
  params.min_p = min_p.value_or(params.min_p);
  params.top_k = top_k.value_or(params.top_k);
  return params;
}

GenerationConfig parse_generation_config(std::string_view json) {
  const nlohmann::json object = parse_json(json);
  if (!object.is_object()) throw Error(ErrorKind::corrupt_data, "it is no JSON object");
  const ConfigFields fields(object);
  GenerationConfig config;
  config.eos_token_ids = fields.get_ints("eos_token_id", 0, kMaxTokens);
  config.do_sample = fields.try_bool("do_sample");
  config.temperature = fields.try_float("temperature", 0, 1e4);
  config.top_p = fields.try_float("top_p", 0, 1);
  config.min_p = fields.try_float("min_p", 0, 1);
  config.repetition_penalty = fields.try_float("repetition_penalty", 1e-6, 1e6);
  config.length_penalty = fields.try_float("length_penalty", -1e3, 1e3);
  config.top_k = fields.try_int("top_k", 0, kMaxTokens);
  config.max_new_tokens = fields.try_int("max_new_tokens", 1, kMaxTokens);
  config.min_new_tokens = fields.try_int("min_new_tokens", 0, kMaxTokens);
  config.num_beams = fields.try_int("num_beams", 1, 1024);
  config.no_repeat_ngram_size = fields.try_int("no_repeat_ngram_size", 0, kMaxTokens);
  config.early_stopping = parse_early_stopping(fields);
  return config;
}

}  // namespace veloz::checkpoint
