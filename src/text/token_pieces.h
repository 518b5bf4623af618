// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace veloz::text {

/// The text of one token, before bytes become characters.
struct TokenPiece {
  std::string_view text;       // lives as long as the tokenizer
  bool is_byte = false;        // a byte-fallback token such as <0xE2>: `text` is that one byte
  bool dropped_space = false;  // a leading space was left out because the token stands at the start
};

/// How the pieces of a tokenizer become one text.
struct JoinRules {
  /// What bytes that are no UTF-8 give.
  enum class Bytes {
    lossy,      // all text is bytes: U+FFFD for each maximal part, as byte-level BPE decodes
    whole_run,  // byte tokens in a row are one text, or each is U+FFFD: tokenizers' ByteFallback
    per_character,  // each byte token that is in no character is U+FFFD: SentencePiece
  };
  /// Which tokens are asked for as standing at the start.
  enum class Start {
    first_token,  // only the first that is not skipped
    empty_text,   // all until there is text, or one dropped its space
  };
  Bytes bytes = Bytes::lossy;
  Start start = Start::first_token;
  int num_leading_spaces_stripped = 0;  // from the start of the whole text, at most
};

/// What a tokenizer tells about decoding, one token at a time. Immutable; any thread may ask.
class TokenPieces {
 public:
  virtual ~TokenPieces() = default;
  virtual JoinRules join_rules() const = 0;
  /// Of an id that `has_token`. `is_start` as the join rules ask for it.
  virtual TokenPiece piece(int32_t id, bool is_start) const = 0;
  /// False for ids beyond the vocabulary, which decoding leaves out.
  virtual bool has_token(int32_t id) const = 0;
  /// Left out where special tokens are skipped.
  virtual bool is_special(int32_t id) const = 0;
};

}  // namespace veloz::text
