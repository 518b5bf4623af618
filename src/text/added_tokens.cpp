// SPDX-License-Identifier: Apache-2.0
#include "text/added_tokens.h"

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
  for (size_t i = 0; i < tokens_.size(); ++i) {
    uint64_t node = 0;
    for (const char byte : tokens_[i].content)
      node = edges_.try_emplace(node << 8 | static_cast<uint8_t>(byte), edges_.size() + 1)
                 .first->second;
    if (node != 0) ends_.try_emplace(node, i);
  }
}

const AddedToken* AddedTokens::match_at(std::string_view text, size_t at) const {
  const AddedToken* longest = nullptr;
  uint64_t node = 0;
  for (; at < text.size(); ++at) {
    const auto edge = edges_.find(node << 8 | static_cast<uint8_t>(text[at]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (const auto end = ends_.find(node); end != ends_.end()) longest = &tokens_[end->second];
  }
  return longest;
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
