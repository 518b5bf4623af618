// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "text/token_pieces.h"

namespace veloz::api {

/// For an engine without a tokenizer: tokens have no text.
class NoPieces final : public text::TokenPieces {
 public:
  text::JoinRules join_rules() const override { return {}; }
  text::TokenPiece piece(int32_t, bool) const override { return {}; }
  bool has_token(int32_t) const override { return false; }
  bool is_special(int32_t) const override { return false; }
};

}  // namespace veloz::api
