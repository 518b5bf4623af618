// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "text/detokenizer.h"
#include "text/json_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_config.h"

namespace veloz::text {
namespace {

constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;

template <typename Parse>
std::unique_ptr<Tokenizer> parse_file(const std::filesystem::path& path, const Parse& parse) {
  try {
    return parse(read_text_file(path, kMaxTokenizerBytes));
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& model_dir) {
  const std::filesystem::path json = model_dir / "tokenizer.json";
  const std::filesystem::path model = model_dir / "tokenizer.model";
  const bool has_json = std::filesystem::exists(json);
  if (!has_json && !std::filesystem::exists(model))
    throw Error(
        ErrorKind::not_found,
        fmt::format("\"{}\" has no tokenizer.json and no tokenizer.model", model_dir.string()),
        "without a tokenizer a model takes and gives token ids only");
  if (!has_json) {
    const TokenizerConfig config = load_tokenizer_config(model_dir);
    return parse_file(model,
                      [&](std::string_view bytes) { return parse_sentencepiece(bytes, config); });
  }
  return parse_file(json, parse_tokenizer_json);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  return decode_all(*this, ids, skip_special_tokens ? SpecialTokens::skip : SpecialTokens::keep);
}

std::vector<int32_t> ids_without_token(const Tokenizer& tokenizer, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < vocab_size; ++id)
    if (!tokenizer.has_token(id)) ids.push_back(id);
  return ids;
}

}  // namespace veloz::text
