// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "benchmark/random.h"
#include "text/tokenizer.h"
#include "veloz/llm.h"

namespace veloz::benchmark {

/// How a synthetic prompt is sent: /v1/completions takes token ids, a chat only text.
enum class PromptForm { token_ids, text };

/// Writes prompts of a wanted number of random tokens, so that no two share a beginning.
class PromptWriter {
 public:
  struct Options {
    PromptForm form = PromptForm::token_ids;
    int64_t vocab_size = 1000;                   // ids are below it
    const text::Tokenizer* tokenizer = nullptr;  // of the served model; outlives the writer
  };
  explicit PromptWriter(const Options& options) : options_(options) {}

  struct Written {
    Prompt prompt;
    int64_t num_tokens = 0;  // exact for token ids and where there is a tokenizer, else a guess
  };
  Written write(int64_t num_tokens, RandomStream& random) const;

  /// Of a text; without a tokenizer a guess from its bytes.
  int64_t count_tokens(const std::string& text) const;

 private:
  std::vector<int32_t> random_ids(int64_t count, RandomStream& random) const;
  std::string text_of(int64_t num_tokens, RandomStream& random) const;

  Options options_;
};

}  // namespace veloz::benchmark
