// SPDX-License-Identifier: Apache-2.0
#include "runtime/row_tokens.h"

#include <algorithm>

namespace veloz::runtime {

void TokenCounter::append_counts(std::span<const int32_t> tokens, int64_t num_prompt_tokens,
                                 std::pmr::vector<int32_t>& distinct,
                                 std::pmr::vector<int32_t>& counts) {
  ++num_calls_;
  for (size_t i = 0; i < tokens.size(); ++i) {
    Seen& seen = last_seen_[static_cast<size_t>(tokens[i])];
    if (seen.call != num_calls_) {
      seen = {num_calls_, distinct.size()};
      distinct.push_back(tokens[i]);
      counts.push_back(0);
    }
    if (i >= static_cast<size_t>(num_prompt_tokens)) ++counts[seen.index];
  }
}

void append_repeated_ngrams(std::span<const int32_t> tokens, int64_t ngram_size,
                            std::pmr::vector<int32_t>& banned) {
  const auto n = static_cast<size_t>(ngram_size);
  if (n == 0 || tokens.size() < n) return;
  const std::span<const int32_t> prefix = tokens.last(n - 1);
  for (size_t begin = 0; begin + n <= tokens.size(); ++begin)
    if (std::ranges::equal(tokens.subspan(begin, n - 1), prefix))
      banned.push_back(tokens[begin + n - 1]);
}

void append_bad_word_ends(std::span<const int32_t> output,
                          std::span<const std::vector<int32_t>> bad_words,
                          std::pmr::vector<int32_t>& banned) {
  for (const std::vector<int32_t>& word : bad_words) {
    const std::span<const int32_t> prefix = std::span(word).first(word.size() - 1);
    if (prefix.size() <= output.size() && std::ranges::equal(output.last(prefix.size()), prefix))
      banned.push_back(word.back());
  }
}

}  // namespace veloz::runtime
