// SPDX-License-Identifier: Apache-2.0
#include "text/json_tokenizer.h"

#include <utility>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_table.h"
#include "text/tokenizer_components.h"
#include "text/utf8.h"

namespace veloz::text {
namespace {

class JsonTokenizer final : public TableTokenizer {
 public:
  explicit JsonTokenizer(TokenizerComponents components) : parts_(std::move(components)) {
    std::vector<AddedToken> raw, normalized;
    for (AddedToken token : parts_.added_tokens) {
      const std::string name = token.content;
      // A token that is looked for in the normalised text is itself normalised, in decoding too.
      // tokenizers 0.23 then forgets that it is special; we leave it out where those are skipped.
      if (token.is_normalized) token.content = normalize(std::move(token.content));
      set_token(token.id, name, parts_.decoder.piece_of(token.content), token.is_special);
      (token.is_normalized ? normalized : raw).push_back(std::move(token));
    }
    raw_added_ = std::make_unique<AddedTokens>(std::move(raw));
    normalized_added_ = std::make_unique<AddedTokens>(std::move(normalized));
    for (const auto& [token, id] : parts_.bpe->vocab())
      if (!has_token(id)) set_token(id, token, parts_.decoder.piece_of(token), false);
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

  JoinRules join_rules() const override { return parts_.decoder.rules; }

 private:
  std::string normalize(std::string text) const {
    for (const Normalizer& step : parts_.normalizers) text = step(std::move(text));
    return text;
  }

  void encode_text(std::string text, bool is_start, std::vector<int32_t>& ids) const {
    text = normalize(std::move(text));
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
};

}  // namespace

std::unique_ptr<Tokenizer> parse_tokenizer_json(std::string_view json) {
  return std::make_unique<JsonTokenizer>(parse_components(json));
}

}  // namespace veloz::text
