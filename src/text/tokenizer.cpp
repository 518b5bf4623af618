// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "text/detokenizer.h"
#include "text/json_tokenizer.h"

namespace veloz::text {
namespace {

constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;
constexpr uint64_t kMaxConfigBytes = uint64_t{64} << 20;

/// A token in tokenizer_config.json: its text, or an object that holds it.
std::string token_text(const nlohmann::json& config, const char* role) {
  const auto found = config.find(role);
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_object() && found->contains("content") && (*found)["content"].is_string())
    return (*found)["content"].get<std::string>();
  return "";
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / "tokenizer.json";
  if (!std::filesystem::exists(path))
    throw Error(ErrorKind::not_found,
                fmt::format("\"{}\" has no tokenizer.json", model_dir.string()),
                "without a tokenizer a model takes and gives token ids only");
  try {
    return parse_tokenizer_json(read_text_file(path, kMaxTokenizerBytes));
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  return decode_all(*this, ids, skip_special_tokens ? SpecialTokens::skip : SpecialTokens::keep);
}

SpecialTokenNames load_special_token_names(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return {};
  const nlohmann::json config = nlohmann::json::parse(read_text_file(path, kMaxConfigBytes),
                                                      nullptr, /*allow_exceptions=*/false);
  if (!config.is_object())
    throw Error(ErrorKind::corrupt_data, fmt::format("\"{}\" is no JSON object", path.string()),
                "copy or download it again");
  return {token_text(config, "bos_token"), token_text(config, "eos_token")};
}

}  // namespace veloz::text
