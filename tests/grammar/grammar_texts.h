// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/grammar.h"
#include "text/token_pieces.h"

namespace veloz::grammar::test {

/// Tokens that are just their bytes.
class ListedPieces : public text::TokenPieces {
 public:
  explicit ListedPieces(std::vector<std::string> texts) : texts_(std::move(texts)) {}

  text::JoinRules join_rules() const override { return {}; }
  text::TokenPiece piece(int32_t id, bool) const override {
    return {.text = texts_[static_cast<size_t>(id)]};
  }
  bool has_token(int32_t id) const override {
    return id >= 0 && id < static_cast<int32_t>(texts_.size());
  }
  bool is_special(int32_t id) const override { return texts_[static_cast<size_t>(id)].empty(); }

 private:
  std::vector<std::string> texts_;
};

/// Ids 0 to 255 are the bytes, 256 ends the text, and the given texts follow.
inline constexpr int32_t kEnd = 256;
inline std::shared_ptr<const Vocabulary> vocabulary_with(const std::vector<std::string>& more) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  texts.emplace_back();
  texts.insert(texts.end(), more.begin(), more.end());
  const int32_t end[] = {kEnd};
  const auto size = static_cast<int64_t>(texts.size());
  return make_vocabulary(ListedPieces(std::move(texts)), size, end);
}

inline std::shared_ptr<const Vocabulary> byte_vocabulary() { return vocabulary_with({}); }

inline bool accepts(const GrammarPtr& grammar, std::string_view text) {
  Matcher matcher(grammar, byte_vocabulary());
  for (const char c : text)
    if (!matcher.accept(static_cast<uint8_t>(c))) return false;
  return matcher.accept(kEnd);
}

struct Texts {
  std::vector<std::string> in;
  std::vector<std::string> out;
};

inline void expect_texts(const GrammarPtr& grammar, const Texts& texts) {
  for (const std::string& text : texts.in) EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const std::string& text : texts.out) EXPECT_FALSE(accepts(grammar, text)) << text;
}

/// The ids whose bits are set.
inline std::vector<int32_t> allowed_tokens(Matcher& matcher, int64_t vocab_size) {
  std::vector<uint32_t> bits(static_cast<size_t>(vocab_size + 31) / 32, 0xffffffff);
  matcher.fill(bits);
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < bits.size() * 32; ++i)
    if ((bits[i / 32] >> (i % 32) & 1) != 0) tokens.push_back(static_cast<int32_t>(i));
  return tokens;
}

}  // namespace veloz::grammar::test
