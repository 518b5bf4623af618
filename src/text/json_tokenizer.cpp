// SPDX-License-Identifier: Apache-2.0
#include "text/json_tokenizer.h"

#include <unordered_map>
#include <utility>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_components.h"
#include "text/utf8.h"

namespace veloz::text {
namespace {

class JsonTokenizer final : public Tokenizer {
 public:
  explicit JsonTokenizer(TokenizerComponents components) : parts_(std::move(components)) {
    std::vector<AddedToken> raw, normalized;
    for (const AddedToken& token : parts_.added_tokens) {
      (token.is_normalized ? normalized : raw).push_back(token);
      add_token(token.id, token.content, token.is_special);
    }
    raw_added_ = std::make_unique<AddedTokens>(std::move(raw));
    normalized_added_ = std::make_unique<AddedTokens>(std::move(normalized));
    for (const auto& [token, id] : parts_.bpe->vocab())
      if (!has_token(id)) add_token(id, token, false);
    for (Entry& entry : entries_)
      if (entry.exists) entry.piece = parts_.decoder.piece_of(entry.token);
  }

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<int32_t> ids;
    if (options.add_special_tokens) ids = parts_.prefix_ids;
    const std::string valid = to_valid_utf8(text);
    bool is_start = true;
    for (const Segment& segment : raw_added_->split(valid)) {
      if (segment.id)
        ids.push_back(*segment.id);
      else
        encode_text(std::string(segment.text), is_start, ids);
      is_start = false;
    }
    if (options.add_special_tokens)
      ids.insert(ids.end(), parts_.suffix_ids.begin(), parts_.suffix_ids.end());
    return ids;
  }

  std::optional<int32_t> token_id(std::string_view token) const override {
    const auto found = ids_.find(std::string(token));
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }
  bool has_token(int32_t id) const override {
    return id >= 0 && id < vocab_size() && entries_[static_cast<size_t>(id)].exists;
  }
  int32_t vocab_size() const override { return static_cast<int32_t>(entries_.size()); }
  JoinRules join_rules() const override { return parts_.decoder.rules; }
  bool is_special(int32_t id) const override {
    return has_token(id) && entries_[static_cast<size_t>(id)].is_special;
  }

  TokenPiece piece(int32_t id, bool is_start) const override {
    const DecodedToken& decoded = entries_[static_cast<size_t>(id)].piece;
    if (is_start && decoded.drops_space_at_start)
      return {std::string_view(decoded.text).substr(1), decoded.is_byte, true};
    return {decoded.text, decoded.is_byte, false};
  }

 private:
  struct Entry {
    std::string token;
    DecodedToken piece;
    bool exists = false;
    bool is_special = false;
  };

  void add_token(int32_t id, const std::string& token, bool is_special) {
    if (static_cast<size_t>(id) >= entries_.size()) entries_.resize(static_cast<size_t>(id) + 1);
    entries_[static_cast<size_t>(id)] = {token, {}, true, is_special};
    ids_.try_emplace(token, id);
  }

  void encode_text(std::string text, bool is_start, std::vector<int32_t>& ids) const {
    for (const Normalizer& normalize : parts_.normalizers) text = normalize(std::move(text));
    for (const Segment& segment : normalized_added_->split(text)) {
      if (segment.id) {
        ids.push_back(*segment.id);
      } else {
        std::vector<std::string> pieces = {std::string(segment.text)};
        for (const PreTokenizer& pre_tokenize : parts_.pre_tokenizers)
          pieces = cut(pieces, pre_tokenize, is_start);
        for (const std::string& piece : pieces) parts_.bpe->encode(piece, ids);
      }
      is_start = false;
    }
  }

  static std::vector<std::string> cut(const std::vector<std::string>& pieces,
                                      const PreTokenizer& pre_tokenize, bool is_start) {
    std::vector<std::string> smaller;
    for (const std::string& piece : pieces) {
      for (std::string& part : pre_tokenize(piece, {is_start}))
        if (!part.empty()) smaller.push_back(std::move(part));
      is_start = false;
    }
    return smaller;
  }

  TokenizerComponents parts_;
  std::unique_ptr<AddedTokens> raw_added_, normalized_added_;
  std::vector<Entry> entries_;  // by id
  std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace

std::unique_ptr<Tokenizer> parse_tokenizer_json(std::string_view json) {
  return std::make_unique<JsonTokenizer>(parse_components(json));
}

}  // namespace veloz::text
