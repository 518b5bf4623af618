// SPDX-License-Identifier: Apache-2.0
#include "grammar/vocabulary.h"

#include <algorithm>
#include <numeric>

#include "base/numeric.h"

namespace veloz::grammar {

Vocabulary::Vocabulary(const text::TokenPieces& pieces, int64_t vocab_size,
                       std::span<const int32_t> end_token_ids)
    : vocab_size_(vocab_size), end_token_ids_(end_token_ids.begin(), end_token_ids.end()) {
  std::sort(end_token_ids_.begin(), end_token_ids_.end());
  bytes_begin_.reserve(static_cast<size_t>(vocab_size) + 1);
  for (int32_t token = 0; token < vocab_size; ++token) {
    bytes_begin_.push_back(narrow<uint32_t>(all_bytes_.size()));
    if (!pieces.has_token(token) || pieces.is_special(token) || is_end_token(token)) continue;
    const text::TokenPiece piece = pieces.piece(token, /*is_start=*/false);
    all_bytes_ += piece.text;
    max_token_bytes_ = std::max(max_token_bytes_, piece.text.size());
  }
  bytes_begin_.push_back(narrow<uint32_t>(all_bytes_.size()));
  build_tree();
}

bool Vocabulary::is_end_token(int32_t token) const {
  return std::binary_search(end_token_ids_.begin(), end_token_ids_.end(), token);
}

std::string_view Vocabulary::bytes_of(int32_t token) const {
  const auto i = static_cast<size_t>(token);
  return std::string_view(all_bytes_)
      .substr(bytes_begin_[i], bytes_begin_[i + 1] - bytes_begin_[i]);
}

std::span<const int32_t> Vocabulary::tokens_at(uint32_t node) const {
  const uint32_t begin = nodes_[node].tokens_begin;
  return std::span(tokens_).subspan(begin, nodes_[size_t{node} + 1].tokens_begin - begin);
}

void Vocabulary::build_tree() {
  for (int32_t token = 0; token < vocab_size_; ++token)
    if (!bytes_of(token).empty()) tokens_.push_back(token);
  std::sort(tokens_.begin(), tokens_.end(), [this](int32_t a, int32_t b) {
    return bytes_of(a) != bytes_of(b) ? bytes_of(a) < bytes_of(b) : a < b;
  });
  nodes_.push_back({});
  std::vector<uint32_t> path = {0};  // the nodes that lead to the last token
  const auto close = [&](size_t depth) {
    for (; path.size() > depth + 1; path.pop_back())
      nodes_[path.back()].end = narrow<uint32_t>(nodes_.size());
  };
  std::string_view previous;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view bytes = bytes_of(tokens_[i]);
    const auto common = std::mismatch(previous.begin(), previous.end(), bytes.begin(), bytes.end());
    close(static_cast<size_t>(common.first - previous.begin()));
    for (size_t depth = path.size(); depth <= bytes.size(); ++depth) {
      path.push_back(narrow<uint32_t>(nodes_.size()));
      nodes_.push_back({.byte = static_cast<uint8_t>(bytes[depth - 1]),
                        .depth = static_cast<uint32_t>(depth),
                        .tokens_begin = static_cast<uint32_t>(i)});
    }
    previous = bytes;
  }
  close(0);
  nodes_[0].end = narrow<uint32_t>(nodes_.size());
  // A last one that only says where the tokens of the one before it end.
  nodes_.push_back({.tokens_begin = narrow<uint32_t>(tokens_.size())});
}

std::shared_ptr<const Vocabulary> make_vocabulary(const text::TokenPieces& pieces,
                                                  int64_t vocab_size,
                                                  std::span<const int32_t> end_token_ids) {
  return std::make_shared<const Vocabulary>(pieces, vocab_size, end_token_ids);
}

}  // namespace veloz::grammar
