// SPDX-License-Identifier: Apache-2.0
#include "api/text_choice.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "text/utf8.h"

namespace veloz::api {
namespace {

int64_t count_code_points(std::string_view utf8) {
  return std::ranges::count_if(
      utf8, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; });
}

class StopObserver final : public serving::TokenObserver {
 public:
  explicit StopObserver(std::shared_ptr<const std::vector<TextChoice>> choices)
      : choices_(std::move(choices)) {}

  std::optional<FinishReason> on_token(int64_t choice, int32_t) override {
    if ((*choices_)[static_cast<size_t>(choice)].has_stopped()) return FinishReason::stop;
    return std::nullopt;
  }

 private:
  std::shared_ptr<const std::vector<TextChoice>> choices_;
};

}  // namespace

TextChoice::TextChoice(const text::TokenPieces& pieces, const SamplingParams& params,
                       text::SpecialTokens special)
    : detokenizer_(pieces, special),
      stops_(params.stop, params.include_stop_str_in_output ? text::StopText::include
                                                            : text::StopText::leave_out),
      includes_stop_(params.include_stop_str_in_output),
      min_tokens_(params.min_tokens) {}

std::string TextChoice::push(int32_t token, bool is_end) {
  ++num_tokens_;
  if (is_end && !includes_stop_) return {};
  return release(detokenizer_.push(token));
}

std::string TextChoice::finish() {
  if (has_stopped()) return {};
  std::string text = release(detokenizer_.finish());
  return text + stops_.finish();
}

std::string TextChoice::release(const std::string& decoded) {
  num_code_points_ += count_code_points(decoded);
  if (num_tokens_ <= min_tokens_) return decoded;
  return stops_.push(decoded);
}

std::vector<TextChoice> make_text_choices(const text::TokenPieces& pieces,
                                          const SamplingParams& params,
                                          text::SpecialTokens special) {
  std::vector<TextChoice> choices;
  choices.reserve(static_cast<size_t>(params.n));
  for (int64_t i = 0; i < params.n; ++i) choices.emplace_back(pieces, params, special);
  return choices;
}

std::unique_ptr<serving::TokenObserver> make_stop_observer(
    const SamplingParams& params, std::shared_ptr<const std::vector<TextChoice>> choices) {
  if (params.stop.empty()) return nullptr;
  return std::make_unique<StopObserver>(std::move(choices));
}

TokenText token_text(const text::TokenPieces& pieces, int32_t token) {
  if (!pieces.has_token(token)) return {};
  const std::string_view bytes = pieces.piece(token, /*is_start=*/false).text;
  return {std::string(bytes), text::to_valid_utf8(bytes)};
}

}  // namespace veloz::api
