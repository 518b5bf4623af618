// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "text/token_pieces.h"

namespace veloz::http::openai {

/// A vocabulary whose ids are bytes, and one special token, 256: "<end>".
class BytePieces final : public text::TokenPieces {
 public:
  static constexpr int32_t kEnd = 256;

  BytePieces() {
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i);
  }
  text::JoinRules join_rules() const override { return {}; }
  text::TokenPiece piece(int32_t id, bool) const override {
    if (id == kEnd) return {.text = "<end>"};
    return {.text = std::string_view(&bytes_[static_cast<size_t>(id)], 1)};
  }
  bool has_token(int32_t id) const override { return id >= 0 && id <= kEnd; }
  bool is_special(int32_t id) const override { return id == kEnd; }

 private:
  std::array<char, 256> bytes_;
};

}  // namespace veloz::http::openai
