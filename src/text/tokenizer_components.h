// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_pieces.h"

namespace veloz::text {

/// A token's share of the decoded text.
struct DecodedToken {
  std::string text;
  bool is_byte = false;  // of a byte-fallback token
  bool drops_space_at_start =
      false;  // the first character is a space that the start of a text does not have
};

/// The decoder of a tokenizer.json, reduced to what it does to one token and how tokens join.
struct TokenDecoder {
  JoinRules rules;
  bool is_byte_level = false;
  bool has_byte_fallback = false;
  bool drops_first_space = false;  // Metaspace
  std::vector<std::pair<std::string, std::string>> replacements;

  DecodedToken piece_of(const std::string& token) const;
};

/// The parts of a tokenizer.json, checked.
struct TokenizerComponents {
  std::vector<AddedToken> added_tokens;
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  std::unique_ptr<Bpe> bpe;
  std::vector<int32_t> prefix_ids, suffix_ids;  // what the post-processor puts around one text
  TokenDecoder decoder;
};

TokenizerComponents parse_components(std::string_view json);

}  // namespace veloz::text
