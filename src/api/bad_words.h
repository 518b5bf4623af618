// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace veloz::api {

/// The token sequences that spell bad words, for serving::Request: each word as it is tokenised at
/// the start of a text and, where that differs, behind a space, as vLLM bans both. Throws
/// Error(invalid_input) for a word that gives no tokens.
std::vector<std::vector<int32_t>> bad_word_tokens(const text::Tokenizer& tokenizer,
                                                  std::span<const std::string> words);

}  // namespace veloz::api
