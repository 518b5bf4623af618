// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serving/request.h"
#include "text/detokenizer.h"
#include "text/stop_matcher.h"
#include "text/token_pieces.h"
#include "veloz/types.h"

namespace veloz::api {

/// The text of one choice as its tokens come: decodes them, looks for stop strings, and says what
/// may be given out. As vLLM has it, the text of an end token is left out, unless
/// include_stop_str_in_output, and stop strings are looked for from the token after min_tokens on.
/// One owner; the pieces (a Tokenizer is some) must outlive it.
class TextChoice {
 public:
  TextChoice(const text::TokenPieces& pieces, const SamplingParams& params,
             text::SpecialTokens special = text::SpecialTokens::skip);

  /// The next token, `is_end` where it ended the choice (TokenEvent::is_end). Returns the text that
  /// became certain: whole characters, no part of a stop string. After a stop string has matched
  /// nothing comes any more.
  [[nodiscard]] std::string push(int32_t token, bool is_end);
  /// The choice has ended: returns what was held back.
  [[nodiscard]] std::string finish();

  bool has_stopped() const { return stops_.matched().has_value(); }
  /// The position in SamplingParams::stop of the string that matched.
  std::optional<size_t> matched_stop() const { return stops_.matched(); }
  /// Where in the choice's text, in code points, the text of the next token begins: OpenAI's
  /// `text_offset`. Of a token that completes a character, where that begins.
  int64_t text_offset() const { return num_code_points_; }

 private:
  std::string release(const std::string& decoded);

  text::Detokenizer detokenizer_;
  text::StopMatcher stops_;
  bool includes_stop_;
  int64_t min_tokens_;
  int64_t num_tokens_ = 0;
  int64_t num_code_points_ = 0;  // of the decoded text, held back or not
};

/// One per choice of a request.
std::vector<TextChoice> make_text_choices(const text::TokenPieces& pieces,
                                          const SamplingParams& params,
                                          text::SpecialTokens special = text::SpecialTokens::skip);

/// Ends choices whose stop strings have matched. The request's sink pushes each token into the
/// choice as its event comes, on the engine thread: the event precedes the observer's call.
/// Null where there are no stop strings.
std::unique_ptr<serving::TokenObserver> make_stop_observer(
    const SamplingParams& params, std::shared_ptr<const std::vector<TextChoice>> choices);

/// A token by itself, as log-probabilities show it.
struct TokenText {
  std::string bytes;  // may be no UTF-8: part of a character
  std::string text;   // those bytes, what is no UTF-8 as U+FFFD
};

/// Special tokens by name; nothing for an id without a token.
TokenText token_text(const text::TokenPieces& pieces, int32_t token);

}  // namespace veloz::api
