// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "veloz/llm.h"

namespace CLI {
class App;
}

namespace veloz::cli {

/// The sampling flags as the user gave them; what is absent stays as the model's own defaults have
/// it.
struct GenerationFlags {
  std::optional<int64_t> max_tokens, min_tokens, top_k, n, num_beams, no_repeat_ngram_size,
      logprobs, prompt_logprobs;
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty,
      frequency_penalty, length_penalty;
  std::optional<uint64_t> seed;
  std::optional<std::string> early_stopping;
  std::vector<std::string> stop;
  std::vector<std::string> bad_words;
  std::vector<int32_t> stop_token_ids;
  std::vector<std::string> logit_bias;  // "ID:BIAS"
  bool ignore_eos = false;

  /// `defaults` with the flags put over them. Throws Error(invalid_input) for a value that does not
  /// parse.
  SamplingParams apply(SamplingParams defaults) const;
};

void add_generation_flags(CLI::App& verb, GenerationFlags& flags);

/// What a model runs with: --device, --allow-nondeterminism, --cublaslt, --isa, --threads.
void add_device_flags(CLI::App& verb, LLMOptions& options);

/// How large it may be: --kv-cache-memory-bytes, --gpu-memory-utilization, --max-num-seqs,
/// --max-num-batched-tokens. The help follows `options.kv_cache_size`.
void add_llm_flags(CLI::App& verb, LLMOptions& options);

}  // namespace veloz::cli
