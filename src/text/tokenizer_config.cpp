// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_config.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "text/json_fields.h"

namespace veloz::text {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxConfigBytes = uint64_t{64} << 20;

/// An empty object where there is no such file.
json read_object(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return json::object();
  json object = parse_bounded_json(read_text_file(path, kMaxConfigBytes));
  if (!object.is_object()) refuse_json("it is no JSON object");
  return object;
}

/// A token's text as it is written, or the object that holds it; none for anything else.
std::optional<std::string> token_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string())
    return value["content"].get<std::string>();
  return std::nullopt;
}

AddedToken parse_added_token(int32_t id, const json& value) {
  AddedToken token;
  token.id = id;
  token.content = get_string(value, "content");
  token.is_special = get_bool(value, "special", false);
  token.is_single_word = get_bool(value, "single_word", false);
  token.strips_left = get_bool(value, "lstrip", false);
  token.strips_right = get_bool(value, "rstrip", false);
  return token;
}

int32_t parse_id(const std::string& key) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size())
    refuse_json(fmt::format("\"{}\" in added_tokens_decoder is no token id", key.substr(0, 64)));
  return get_token_id(id);
}

/// Reads the files in order; the later ones add what the earlier left open.
class ConfigReader {
 public:
  void read_config(const json& config) {
    const json added = config.value("added_tokens_decoder", json::object());
    if (!added.is_object()) refuse_json("\"added_tokens_decoder\" is no object");
    for (const auto& [key, value] : added.items()) {
      const int32_t id = parse_id(key);
      tokens_.insert_or_assign(id, parse_added_token(id, value));
    }
    config_.adds_bos = get_bool(config, "add_bos_token", config_.adds_bos);
    config_.adds_eos = get_bool(config, "add_eos_token", config_.adds_eos);
    read_roles(config);
  }

  void read_roles(const json& roles) {
    for (const auto& [key, value] : roles.items()) {
      if (!key.ends_with("_token")) continue;
      const std::optional<std::string> text = token_text(value);
      if (!text) continue;
      special_.insert(*text);
      if (key == "bos_token" && !config_.bos) config_.bos = text;
      if (key == "eos_token" && !config_.eos) config_.eos = text;
      if (key == "unk_token" && !config_.unk) config_.unk = text;
    }
    // By its name in transformers 4 and in 5.
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"})
      for (const json& value : roles.value(key, json::array()))
        if (const std::optional<std::string> text = token_text(value)) special_.insert(*text);
  }

  void read_added(const json& added) {
    for (const auto& [content, value] : added.items()) {
      AddedToken token;
      token.id = get_token_id(value);
      token.content = content;
      tokens_.try_emplace(token.id, std::move(token));
    }
  }

  TokenizerConfig finish() {
    for (auto& [id, token] : tokens_) {
      if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes)
        refuse_json(fmt::format("added token {} has {} bytes (1 to {})", id, token.content.size(),
                                kMaxAddedTokenBytes));
      config_.added_tokens.push_back(std::move(token));
    }
    config_.special_tokens.assign(special_.begin(), special_.end());
    return std::move(config_);
  }

 private:
  TokenizerConfig config_;
  std::map<int32_t, AddedToken> tokens_;
  std::set<std::string> special_;
};

template <typename Read>
void read_file(const std::filesystem::path& path, const Read& read) {
  try {
    read(read_object(path));
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
}

}  // namespace

SpecialTokenNames load_special_token_names(const std::filesystem::path& model_dir) {
  SpecialTokenNames names;
  read_file(model_dir / "tokenizer_config.json", [&](const json& config) {
    names.bos = token_text(config.value("bos_token", json())).value_or("");
    names.eos = token_text(config.value("eos_token", json())).value_or("");
  });
  return names;
}

TokenizerConfig load_tokenizer_config(const std::filesystem::path& model_dir) {
  ConfigReader reader;
  read_file(model_dir / "tokenizer_config.json", [&](const json& j) { reader.read_config(j); });
  read_file(model_dir / "special_tokens_map.json", [&](const json& j) { reader.read_roles(j); });
  read_file(model_dir / "added_tokens.json", [&](const json& j) { reader.read_added(j); });
  return reader.finish();
}

}  // namespace veloz::text
