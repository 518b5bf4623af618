// SPDX-License-Identifier: Apache-2.0
#include "text/token_decoder.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "text/byte_level.h"
#include "text/json_fields.h"
#include "text/pre_tokenizer.h"

namespace veloz::text {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxStripped = 1024;

/// Reads the steps in order. What is done per token must come before what is done to the whole.
class DecoderReader {
 public:
  void read(const json& component) {
    const std::string type = get_type(component, "the decoder");
    if (type == "Fuse") {
      stage_ = std::max(stage_, Stage::whole);
    } else if (type == "Strip") {
      require(stage_ == Stage::whole, "Strip before Fuse");
      read_strip(component);
    } else if (type == "Replace") {
      require(stage_ <= Stage::tokens, "Replace after ByteFallback or Fuse");
      stage_ = Stage::tokens;
      read_replace(component);
    } else if (type == "ByteFallback") {
      require(stage_ <= Stage::tokens, "ByteFallback after another decoder than Replace");
      stage_ = Stage::bytes;
      decoder_.has_byte_fallback = true;
    } else if (type == "ByteLevel") {
      require(stage_ == Stage::start, "ByteLevel after another decoder");
      stage_ = Stage::whole;
      decoder_.is_byte_level = true;
    } else if (type == "Metaspace") {
      require(stage_ == Stage::start, "Metaspace after another decoder");
      stage_ = Stage::bytes;
      read_metaspace(component);
    } else {
      refuse_component("decoder", type, kKnown);
    }
  }

  TokenDecoder finish() {
    require(stage_ != Stage::start, "null");  // which joins tokens with spaces
    decoder_.rules.bytes =
        decoder_.is_byte_level ? JoinRules::Bytes::lossy : JoinRules::Bytes::whole_run;
    return std::move(decoder_);
  }

 private:
  static constexpr std::string_view kKnown =
      "ByteLevel, Metaspace, and the Sequence of Replace, ByteFallback, Fuse, Strip";
  enum class Stage { start, tokens, bytes, whole };

  static void require(bool condition, std::string_view what) {
    if (!condition) refuse_component("decoder", what, kKnown);
  }

  void read_replace(const json& component) {
    const auto [pattern, is_regex] = get_pattern(component);
    require(!is_regex, "Replace with a Regex");
    if (pattern.empty()) refuse_json("the decoder Replace has an empty pattern");
    decoder_.replacements.emplace_back(pattern, get_string(component, "content"));
  }

  void read_metaspace(const json& component) {
    const std::string replacement = get_string(component, "replacement");
    if (replacement.empty()) refuse_json("the decoder Metaspace has an empty replacement");
    decoder_.replacements.emplace_back(replacement, " ");
    if (parse_prepend_scheme(component) != PrependScheme::never)
      decoder_.dropped_at_start = replacement;
  }

  void read_strip(const json& component) {
    require(get_string(component, "content") == " " && component.value("stop", json(0)) == 0,
            "Strip of anything but leading spaces");
    const json start = component.value("start", json(0));
    if (!start.is_number_unsigned() || start.get<uint64_t>() > kMaxStripped)
      refuse_json(fmt::format("\"start\" of Strip is no count up to {}", kMaxStripped));
    decoder_.rules.num_leading_spaces_stripped += start.get<int>();
  }

  TokenDecoder decoder_;
  Stage stage_ = Stage::start;
};

}  // namespace

DecodedToken TokenDecoder::piece_of(const std::string& token) const {
  if (is_byte_level) return {characters_to_bytes(token)};
  DecodedToken decoded{token};
  if (dropped_at_start) {
    decoded.start_text = replace_all(token, *dropped_at_start, "");
    if (*decoded.start_text == token) decoded.start_text.reset();
  }
  for (const auto& [from, to] : replacements) decoded.text = replace_all(decoded.text, from, to);
  if (has_byte_fallback) {
    if (const std::optional<char> byte = byte_of_token(decoded.text))
      return {std::string(1, *byte), true};
  }
  return decoded;
}

TokenDecoder parse_decoder(const json& component) {
  DecoderReader reader;
  for_each_component(component, "decoders", [&](const json& item) { reader.read(item); });
  return reader.finish();
}

std::optional<char> byte_of_token(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  const std::string digits = token.substr(3, 2);
  if (digits.find_first_not_of("0123456789ABCDEFabcdef") != std::string::npos) return std::nullopt;
  return static_cast<char>(std::stoi(digits, nullptr, 16));
}

std::string replace_all(const std::string& text, const std::string& from, const std::string& to) {
  std::string replaced;
  size_t at = 0;
  for (size_t found = text.find(from); found != std::string::npos; found = text.find(from, at)) {
    replaced.append(text, at, found - at).append(to);
    at = found + from.size();
  }
  return replaced.append(text, at);
}

}  // namespace veloz::text
