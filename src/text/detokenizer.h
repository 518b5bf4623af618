// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "text/token_pieces.h"

namespace veloz::text {

enum class SpecialTokens { skip, keep };

/// Turns tokens into text as they come. Never gives half a character: bytes that a later token may
/// complete are held back, at most until a token that ends them. What all calls return, joined,
/// is what decoding the whole sequence at once gives. Time per token is amortised constant; held
/// memory is a few bytes, or an open run of byte-fallback tokens. One owner, any thread; the
/// pieces (a Tokenizer is some) must outlive it.
class Detokenizer {
 public:
  explicit Detokenizer(const TokenPieces& pieces, SpecialTokens special = SpecialTokens::skip)
      : pieces_(pieces), rules_(pieces.join_rules()), special_(special) {}

  /// Text that became certain with this token; empty while a character is incomplete.
  [[nodiscard]] std::string push(int32_t id);
  /// What was held back, bytes of an incomplete character as U+FFFD. The sequence has ended.
  [[nodiscard]] std::string finish();

 private:
  void push_lossy(uint8_t byte, std::string& out);
  void push_run(uint8_t byte, std::string& out);
  void end_run(std::string& out);
  void push_per_character(uint8_t byte, std::string& out);
  void end_bytes(std::string& out);
  std::string strip_start(std::string text);

  const TokenPieces& pieces_;
  JoinRules rules_;
  SpecialTokens special_;
  std::string pending_;        // the start of a character, or under whole_run the open run
  size_t num_incomplete_ = 0;  // under whole_run: bytes at the end of pending_ in no character yet
  bool is_run_invalid_ = false;
  bool has_token_ = false, has_text_ = false, has_dropped_space_ = false;
  int num_stripped_ = 0;
  bool is_start_over_ = false;  // text has come that is not stripped
};

/// The text of a whole sequence.
std::string decode_all(const TokenPieces& pieces, std::span<const int32_t> ids,
                       SpecialTokens special = SpecialTokens::skip);

}  // namespace veloz::text
