// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/token_decoder.h"
#include "text/tokenizer.h"

namespace veloz::text {

/// The half of a tokenizer that is a table: its tokens by id, and what each decodes to.
class TableTokenizer : public Tokenizer {
 public:
  std::optional<int32_t> token_id(std::string_view token) const final;
  std::string_view token(int32_t id) const final;
  bool has_token(int32_t id) const final;
  int32_t vocab_size() const final { return static_cast<int32_t>(entries_.size()); }
  bool is_special(int32_t id) const final;
  TokenPiece piece(int32_t id, bool is_start) const final;

 protected:
  /// The id is below kMaxTokenId. A token keeps the first id it is given; an id has what is set
  /// last.
  void set_token(int32_t id, const std::string& token, DecodedToken decoded, bool is_special);

 private:
  struct Entry {
    const std::string* token = nullptr;  // the key in ids_
    DecodedToken decoded;
    bool exists = false;
    bool is_special = false;
  };
  std::vector<Entry> entries_;  // by id
  std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace veloz::text
