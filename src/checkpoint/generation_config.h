// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "veloz/types.h"

namespace veloz::checkpoint {

/// generation_config.json: how the model's authors would sample from it. Absent keys have no value.
struct GenerationConfig {
  std::vector<int64_t> eos_token_ids;
  std::optional<int64_t> bos_token_id, pad_token_id;
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p, min_p, repetition_penalty, length_penalty;
  std::optional<int64_t> top_k, max_new_tokens, min_new_tokens, num_beams, no_repeat_ngram_size;
  std::optional<EarlyStopping> early_stopping;
  /// Keys that ask Hugging Face `generate` for something that is not there: what it would write
  /// differs.
  std::vector<std::string> unsupported_keys;

  /// What a request gets that asks for nothing else: greedy unless do_sample; absent keys are
  /// neutral, as in vLLM (Hugging Face `generate` would sample with top_k 50).
  SamplingParams sampling_params() const;
};

/// Throws Error(corrupt_data) or Error(invalid_input) naming the key.
GenerationConfig parse_generation_config(std::string_view json);

}  // namespace veloz::checkpoint
