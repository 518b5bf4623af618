// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/generation_config.h"

#include "base/error.h"
#include "checkpoint/config_fields.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

/// Asks for nothing with this value, or null.
struct UnsupportedKey {
  const char* key;
  double neutral;
};
constexpr UnsupportedKey kUnsupportedKeys[] = {
    {"typical_p", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"penalty_alpha", 0},
    {"diversity_penalty", 0},
    {"num_beam_groups", 1},
    {"encoder_repetition_penalty", 1},
    {"encoder_no_repeat_ngram_size", 0},
    {"guidance_scale", 1},
    {"min_length", 0},
    {"bad_words_ids", 0},
    {"force_words_ids", 0},
    {"constraints", 0},
    {"sequence_bias", 0},
    {"suppress_tokens", 0},
    {"begin_suppress_tokens", 0},
    {"forced_bos_token_id", -1},
    {"forced_eos_token_id", -1},
    {"exponential_decay_length_penalty", 0},
};

bool asks_for_something(const nlohmann::json& value, double neutral) {
  if (value.is_array() || value.is_object()) return !value.empty();
  return !value.is_null() && value != neutral;
}

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
  if (!object.is_object())
    throw Error(ErrorKind::corrupt_data, "it is no JSON object", "download it again");
  const ConfigFields fields(object);
  GenerationConfig config;
  config.eos_token_ids = fields.get_ints("eos_token_id", kTokenIds);
  std::erase(config.eos_token_ids, -1);
  config.bos_token_id = fields.try_int("bos_token_id", kTokenIds);
  config.pad_token_id = fields.try_int("pad_token_id", kTokenIds);
  if (config.bos_token_id == -1) config.bos_token_id.reset();
  if (config.pad_token_id == -1) config.pad_token_id.reset();
  config.do_sample = fields.try_bool("do_sample");
  config.temperature = fields.try_float("temperature", kTemperatures);
  config.top_p = fields.try_float("top_p", kTopPs);
  config.min_p = fields.try_float("min_p", kMinPs);
  config.repetition_penalty = fields.try_float("repetition_penalty", kPenalties);
  config.length_penalty = fields.try_float("length_penalty", kLengthPenalties);
  config.top_k = fields.try_int("top_k", kTopKs);
  if (config.top_k == -1) config.top_k = 0;
  config.max_new_tokens = fields.try_int("max_new_tokens", {1, kTokenCounts.high});
  config.min_new_tokens = fields.try_int("min_new_tokens", kTokenCounts);
  config.num_beams = fields.try_int("num_beams", kBeamCounts);
  config.no_repeat_ngram_size = fields.try_int("no_repeat_ngram_size", kTokenCounts);
  config.early_stopping = parse_early_stopping(fields);
  for (const auto& [key, neutral] : kUnsupportedKeys)
    if (fields.has(key) && asks_for_something(fields.at(key), neutral))
      config.unsupported_keys.push_back(key);
  return config;
}

}  // namespace veloz::checkpoint
