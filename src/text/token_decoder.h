// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/token_pieces.h"

namespace veloz::text {

/// A token's share of the decoded text.
struct DecodedToken {
  std::string text;
  bool is_byte = false;                                  // of a byte-fallback token
  std::optional<std::string> start_text = std::nullopt;  // where it differs at the text's start
  bool drops_space = false;  // there it leaves out a space, and no later token stands at the start
};

/// The decoder of a tokenizer.json, reduced to what it does to one token and how tokens join.
struct TokenDecoder {
  JoinRules rules;
  bool is_byte_level = false;
  bool has_byte_fallback = false;
  std::vector<std::pair<std::string, std::string>> replacements;
  std::optional<std::string> dropped_at_start;  // Metaspace's character, none in the first token

  DecodedToken piece_of(const std::string& token) const;
};

/// Of the "decoder" component. Throws Error: corrupt_data, or unsupported where its steps cannot be
/// taken one token at a time.
TokenDecoder parse_decoder(const nlohmann::json& component);

/// The byte of a byte-fallback token such as "<0xE2>".
std::optional<char> byte_of_token(const std::string& token);
/// `text` with each `from` (not empty) replaced by `to`, from left to right.
std::string replace_all(const std::string& text, const std::string& from, const std::string& to);

}  // namespace veloz::text
