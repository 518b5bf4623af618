// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "api/text_choice.h"
#include "http/openai/json_writer.h"
#include "serving/request.h"
#include "text/token_pieces.h"

namespace veloz::http::openai {

/// How tokens are named in log-probabilities.
struct TokenNames {
  const text::TokenPieces* pieces;
  bool as_token_ids = false;  // "token_id:17" instead of the text

  std::string name(int32_t token) const;
};

/// JSON has no infinity; this is vLLM's stand-in for a probability of 0.
float finite_logprob(float logprob);

/// An entry of chat's `logprobs.content`.
void write_chat_logprob(JsonWriter& writer, const TokenNames& names,
                        const serving::TokenEvent& event);

/// The `logprobs` of a text completion as its tokens come.
class CompletionLogprobs {
 public:
  /// `special`: what the answer's text does with special tokens.
  CompletionLogprobs(const TokenNames& names, text::SpecialTokens special)
      : names_(names), text_(*names.pieces, SamplingParams{}, special) {}

  /// A token without a probability: the first of an echoed prompt.
  void add_first(int32_t token);
  void add(const serving::TokenLogprob& token, std::span<const serving::TokenLogprob> top);
  bool is_empty() const { return tokens_.empty(); }
  /// {"tokens", "token_logprobs", "top_logprobs", "text_offset"} of what came since the last take.
  std::string take();

 private:
  void add_token(int32_t token);

  TokenNames names_;
  std::string tokens_, logprobs_, tops_, offsets_;  // the lists without their brackets
  api::TextChoice text_;                            // tells where a token's text begins
};

/// vLLM's `prompt_logprobs`: null, then per token {id: {logprob, rank, decoded_token}}.
void write_prompt_logprobs(JsonWriter& writer, const TokenNames& names,
                           std::span<const std::vector<serving::TokenLogprob>> logprobs);

}  // namespace veloz::http::openai
