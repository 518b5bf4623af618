// SPDX-License-Identifier: Apache-2.0
#include "text/token_table.h"

#include <utility>

namespace veloz::text {

std::optional<int32_t> TableTokenizer::token_id(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

std::string_view TableTokenizer::token(int32_t id) const {
  return *entries_[static_cast<size_t>(id)].token;
}

bool TableTokenizer::has_token(int32_t id) const {
  return id >= 0 && id < vocab_size() && entries_[static_cast<size_t>(id)].exists;
}

bool TableTokenizer::is_special(int32_t id) const {
  return has_token(id) && entries_[static_cast<size_t>(id)].is_special;
}

TokenPiece TableTokenizer::piece(int32_t id, bool is_start) const {
  const DecodedToken& decoded = entries_[static_cast<size_t>(id)].decoded;
  if (!is_start || !decoded.start_text) return {decoded.text, decoded.is_byte, false};
  return {*decoded.start_text, decoded.is_byte, decoded.drops_space};
}

void TableTokenizer::set_token(int32_t id, const std::string& token, DecodedToken decoded,
                               bool is_special) {
  const auto index = static_cast<size_t>(id);
  if (index >= entries_.size()) entries_.resize(index + 1);
  const auto known = ids_.try_emplace(token, id).first;
  entries_[index] = {&known->first, std::move(decoded), true, is_special};
}

}  // namespace veloz::text
