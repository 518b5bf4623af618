// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

namespace veloz::runtime {

/// Counts the distinct tokens of sequences, in time linear in their length. Used by one thread.
class TokenCounter {
 public:
  explicit TokenCounter(int64_t vocab_size) : last_seen_(static_cast<size_t>(vocab_size)) {}

  /// Appends each distinct token of `tokens`, in order of appearance, and how often it stands in
  /// the output, which begins at `num_prompt_tokens`.
  void append_counts(std::span<const int32_t> tokens, int64_t num_prompt_tokens,
                     std::pmr::vector<int32_t>& distinct, std::pmr::vector<int32_t>& counts);

 private:
  struct Seen {
    uint64_t call = 0;  // the last one that met the token
    size_t index = 0;   // its entry in the lists of that call
  };
  uint64_t num_calls_ = 0;
  std::vector<Seen> last_seen_;  // [vocab_size]
};

/// Appends the tokens that would complete an n-gram that `tokens` holds already.
void append_repeated_ngrams(std::span<const int32_t> tokens, int64_t ngram_size,
                            std::pmr::vector<int32_t>& banned);

/// Appends the last token of each of `bad_words`, none empty, whose other tokens `output` ends
/// with.
void append_bad_word_ends(std::span<const int32_t> output,
                          std::span<const std::vector<int32_t>> bad_words,
                          std::pmr::vector<int32_t>& banned);

}  // namespace veloz::runtime
