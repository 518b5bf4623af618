// SPDX-License-Identifier: Apache-2.0
#include "api/bad_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace veloz::api {
namespace {

/// Without leading spaces, but a word of nothing else is kept.
std::string strip_spaces(const std::string& word) {
  const size_t begin = word.find_first_not_of(' ');
  return begin == std::string::npos ? word : word.substr(begin);
}

bool ends_with(const std::vector<int32_t>& tokens, const std::vector<int32_t>& end) {
  return tokens.size() >= end.size() &&
         std::equal(end.rbegin(), end.rend(), tokens.rbegin(), tokens.rbegin() + std::ssize(end));
}

}  // namespace

std::vector<std::vector<int32_t>> bad_word_tokens(const text::Tokenizer& tokenizer,
                                                  std::span<const std::string> words) {
  constexpr text::EncodeOptions kPlain{.add_special_tokens = false};
  std::vector<std::vector<int32_t>> sequences;
  for (const std::string& word : words) {
    const std::string bare = strip_spaces(word);
    std::vector<int32_t> tokens = tokenizer.encode(bare, kPlain);
    if (tokens.empty())
      throw Error(ErrorKind::invalid_input, fmt::format("the bad word \"{}\" has no tokens", word),
                  "leave it out");
    std::vector<int32_t> spaced = tokenizer.encode(" " + bare, kPlain);
    // One that ends with the other is banned together with it.
    const bool is_covered = ends_with(spaced, tokens);
    sequences.push_back(std::move(tokens));
    if (!is_covered) sequences.push_back(std::move(spaced));
  }
  return sequences;
}

}  // namespace veloz::api
