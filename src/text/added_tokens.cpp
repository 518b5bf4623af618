// SPDX-License-Identifier: Apache-2.0
#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"
#include "text/utf8.h"

namespace veloz::text {
namespace {

bool begins_with_word(std::string_view text) {
  const size_t length = utf8_length(text);
  return length > 0 && is_word(decode_code_point(text.substr(0, length)));
}

bool ends_with_word(std::string_view text) { return begins_with_word(last_character(text)); }

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  std::ranges::stable_sort(tokens_, std::greater<>{},
                           [](const AddedToken& token) { return token.content.size(); });
  for (const AddedToken& token : tokens_)
    first_bytes_[static_cast<uint8_t>(token.content[0])] = true;
}

const AddedToken* AddedTokens::match_at(std::string_view text, size_t at) const {
  if (!first_bytes_[static_cast<uint8_t>(text[at])]) return nullptr;
  for (const AddedToken& token : tokens_)
    if (text.substr(at).starts_with(token.content)) return &token;
  return nullptr;
}

std::vector<Segment> AddedTokens::split(std::string_view text) const {
  std::vector<Segment> segments;
  size_t begin = 0;  // of the text not yet given out
  size_t at = 0;
  while (at < text.size()) {
    const AddedToken* const token = match_at(text, at);
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t first = at;
    size_t last = at + token->content.size();
    at = last;
    if (token->is_single_word &&
        (ends_with_word(text.substr(0, first)) || begins_with_word(text.substr(last))))
      continue;
    while (token->strips_left && first > begin &&
           trailing_space_bytes(text.substr(begin, first - begin)) > 0)
      first -= trailing_space_bytes(text.substr(begin, first - begin));
    while (token->strips_right && leading_space_bytes(text.substr(last)) > 0)
      last += leading_space_bytes(text.substr(last));
    if (begin < first) segments.push_back({text.substr(begin, first - begin), std::nullopt});
    segments.push_back({text.substr(first, last - first), token->id});
    begin = at = last;
  }
  if (begin < text.size()) segments.push_back({text.substr(begin), std::nullopt});
  return segments;
}

}  // namespace veloz::text
