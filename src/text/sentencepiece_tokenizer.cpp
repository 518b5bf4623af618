// SPDX-License-Identifier: Apache-2.0
#include "text/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/json_fields.h"
#include "text/sentencepiece_model.h"
#include "text/token_decoder.h"
#include "text/token_table.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace veloz::text {
namespace {

using Type = SentencePieceModel::Type;

// The library joins neighbouring unknown characters in time that is quadratic in their number.
constexpr size_t kMaxUnknownRun = 1 << 15;

constexpr std::string_view kSpaceMarker = "\xE2\x96\x81";  // U+2581

DecodedToken decoded_piece(const SentencePieceModel& model,
                           const SentencePieceModel::Piece& piece) {
  switch (piece.type) {
    case Type::byte:
      return {std::string(1, *byte_of_token(piece.text)), true};
    case Type::unknown:
      return {model.unk_surface};
    case Type::control:
      return {piece.text};
    case Type::normal:
    case Type::user_defined:
    case Type::unused:
      break;
  }
  DecodedToken decoded{replace_all(piece.text, std::string(kSpaceMarker), " ")};
  if (piece.text.starts_with(kSpaceMarker) &&
      (model.adds_dummy_prefix || model.removes_extra_whitespaces)) {
    decoded.start_text = decoded.text.substr(1);
    // Where white space is removed, the library drops the space of every piece until there is text.
    decoded.drops_space = !model.removes_extra_whitespaces;
  }
  return decoded;
}

// transformers 5 converts such a model to a tokenizer.json instead, and differs from the library,
// which we follow: there the space that the library puts before each stretch of text stands before
// the first alone, and not where that begins with a space itself.
class SentencePieceTokenizer final : public TableTokenizer {
 public:
  SentencePieceTokenizer(std::string_view bytes, const TokenizerConfig& config)
      : SentencePieceTokenizer(bytes, parse_sentencepiece_model(bytes), config) {}

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<int32_t> ids;
    if (options.add_special_tokens) ids = prefix_ids_;
    const std::string valid = to_valid_utf8(text);
    for (const Segment& segment : added_->split(valid)) {
      if (segment.id) {
        ids.push_back(*segment.id);
        continue;
      }
      if (!has_byte_fallback_) check_unknown_runs(segment.text);
      std::vector<int> part;
      const auto status = processor_.Encode(segment.text, &part);
      if (!status.ok())
        throw Error(ErrorKind::corrupt_data,
                    fmt::format("SentencePiece cannot encode the text: {}", status.ToString()),
                    "tokenizer.model may be damaged; download it again");
      ids.insert(ids.end(), part.begin(), part.end());
    }
    if (options.add_special_tokens) ids.insert(ids.end(), suffix_ids_.begin(), suffix_ids_.end());
    return ids;
  }

  JoinRules join_rules() const override {
    return {JoinRules::Bytes::per_character, JoinRules::Start::empty_text, 0};
  }

 private:
  SentencePieceTokenizer(std::string_view bytes, const SentencePieceModel& model,
                         const TokenizerConfig& config)
      : has_byte_fallback_(model.has_byte_fallback) {
    const auto status = processor_.LoadFromSerializedProto(bytes);
    if (!status.ok())
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("SentencePiece cannot load the model: {}", status.ToString()),
                  "the file is damaged; download it again");
    for (const SentencePieceModel::Piece& piece : model.pieces)
      set_token(vocab_size(), piece.text, decoded_piece(model, piece), piece.type == Type::control);
    add_tokens(model, config);
  }

  void check_unknown_runs(std::string_view text) const {
    size_t run = 0;
    for (size_t length = 0; !text.empty(); text.remove_prefix(length)) {
      length = utf8_length(text);
      const bool is_known = token_id(text.substr(0, length)).has_value();
      run = is_known || leading_space_bytes(text) > 0 ? 0 : run + 1;
      if (run > kMaxUnknownRun)
        throw Error(ErrorKind::invalid_input,
                    fmt::format("the text has more than {} characters in a row that the tokenizer "
                                "does not know",
                                kMaxUnknownRun),
                    "use a text in the model's own languages");
    }
  }

  void add_tokens(const SentencePieceModel& model, const TokenizerConfig& config) {
    std::vector<AddedToken> added = config.added_tokens;
    for (const AddedToken& token : added) declare(token);
    const std::optional<std::string> bos = role(config.bos, model.bos_piece, Type::control, model);
    const std::optional<std::string> eos = role(config.eos, model.eos_piece, Type::control, model);
    const auto is_unknown = [](const SentencePieceModel::Piece& piece) {
      return piece.type == Type::unknown;
    };
    const std::string unk_piece = std::ranges::find_if(model.pieces, is_unknown)->text;
    const std::optional<std::string> unk = role(config.unk, unk_piece, Type::unknown, model);

    std::vector<std::string> special = config.special_tokens;
    for (const auto& name : {bos, eos, unk})
      if (name) special.push_back(*name);
    for (const std::string& name : special) {
      // A role whose token has no id is one that transformers would append to the vocabulary; the
      // model knows nothing of it.
      const std::optional<int32_t> id = token_id(name);
      if (!id) continue;
      set_token(*id, name, {name}, true);
      const auto has_id = [&](const AddedToken& token) { return token.id == *id; };
      if (std::ranges::none_of(added, has_id)) added.push_back({.id = *id, .content = name});
    }
    added_ = std::make_unique<AddedTokens>(std::move(added));
    if (config.adds_bos && bos) prefix_ids_.push_back(*token_id(*bos));
    if (config.adds_eos && eos) suffix_ids_.push_back(*token_id(*eos));
  }

  /// The token of a role: as configured, else the model's own where it has one of that type.
  std::optional<std::string> role(const std::optional<std::string>& configured,
                                  const std::string& piece, Type type,
                                  const SentencePieceModel& model) const {
    const std::string name = configured.value_or(piece);
    const std::optional<int32_t> id = token_id(name);
    if (!id) return std::nullopt;
    const auto index = static_cast<size_t>(*id);
    const bool has_type = index < model.pieces.size() && model.pieces[index].type == type;
    if (!configured && !has_type) return std::nullopt;
    return name;
  }

  void declare(const AddedToken& token) {
    const std::optional<int32_t> known = token_id(token.content);
    if (known.value_or(token.id) != token.id)
      refuse_json(fmt::format("added token \"{}\" has id {}, and {} in tokenizer.model",
                              token.content, token.id, *known));
    if (has_token(token.id) && !known)
      refuse_json(fmt::format("added token \"{}\" has id {}, which is another token's",
                              token.content, token.id));
    set_token(token.id, token.content, {token.content}, token.is_special);
  }

  sentencepiece::SentencePieceProcessor processor_;
  std::unique_ptr<AddedTokens> added_;
  std::vector<int32_t> prefix_ids_, suffix_ids_;
  bool has_byte_fallback_ = false;
};

}  // namespace

std::unique_ptr<Tokenizer> parse_sentencepiece(std::string_view model,
                                               const TokenizerConfig& config) {
  return std::make_unique<SentencePieceTokenizer>(model, config);
}

}  // namespace veloz::text
