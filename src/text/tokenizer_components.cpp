// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_components.h"

#include <fmt/format.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "text/byte_level.h"

namespace veloz::text {
namespace {

using nlohmann::json;

constexpr int64_t kMaxId = 1 << 24;
constexpr int kMaxDepth = 64;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::corrupt_data, message,
              "the file is damaged or no tokenizer.json; download it again");
}

[[noreturn]] void not_supported(std::string_view what, std::string_view name,
                                std::string_view known) {
  throw Error(ErrorKind::unsupported, fmt::format("{} \"{}\" is not supported", what, name),
              fmt::format("supported are {}", known));
}

std::string type_of(const json& component, std::string_view what) {
  if (!component.is_object() || !component.contains("type") || !component["type"].is_string())
    refuse(fmt::format("{} has no type", what));
  return component["type"].get<std::string>();
}

bool get_bool(const json& object, const char* key, bool fallback) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  if (!found->is_boolean()) refuse(fmt::format("\"{}\" is no boolean", key));
  return found->get<bool>();
}

std::string get_string(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string())
    refuse(fmt::format("\"{}\" is missing or no string", key));
  return found->get<std::string>();
}

int32_t get_id(const json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= static_cast<uint64_t>(kMaxId))
    refuse(fmt::format("{} is no token id (0 to {})", value.dump(), kMaxId - 1));
  return value.get<int32_t>();
}

/// {"String": "..."} or {"Regex": "..."}; a plain string is taken literally.
std::pair<std::string, bool> get_pattern(const json& component) {
  const auto found = component.find("pattern");
  if (found != component.end() && found->is_string()) return {found->get<std::string>(), false};
  if (found != component.end() && found->is_object()) {
    if (found->contains("String")) return {get_string(*found, "String"), false};
    if (found->contains("Regex")) return {get_string(*found, "Regex"), true};
  }
  refuse("\"pattern\" is neither String nor Regex");
}

/// Calls `use` on the component, or on each member of a Sequence; nothing for null.
void for_each_component(const json& component, const char* members, int depth,
                        const std::function<void(const json&)>& use) {
  if (component.is_null()) return;
  if (depth > kMaxDepth) refuse(fmt::format("components nested deeper than {}", kMaxDepth));
  if (type_of(component, "a component") != "Sequence") {
    use(component);
    return;
  }
  if (!component.contains(members) || !component[members].is_array())
    refuse(fmt::format("a Sequence has no \"{}\"", members));
  for (const json& member : component[members]) for_each_component(member, members, depth + 1, use);
}

Normalizer parse_normalizer(const json& component) {
  const std::string type = type_of(component, "a normalizer");
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD")
    return unicode_normalizer(type);
  if (type == "Lowercase") return lowercase_normalizer();
  if (type == "Prepend") return prepend_normalizer(get_string(component, "prepend"));
  if (type == "Strip")
    return strip_normalizer(get_bool(component, "strip_left", true),
                            get_bool(component, "strip_right", true));
  if (type == "Replace") {
    const auto [pattern, is_regex] = get_pattern(component);
    return replace_normalizer(pattern, is_regex, get_string(component, "content"));
  }
  not_supported("normalizer", type,
                "NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Strip, Replace, Sequence");
}

PrependScheme parse_prepend_scheme(const json& component) {
  if (!component.contains("prepend_scheme"))
    return get_bool(component, "add_prefix_space", true) ? PrependScheme::always
                                                         : PrependScheme::never;
  const std::string scheme = get_string(component, "prepend_scheme");
  if (scheme == "always") return PrependScheme::always;
  if (scheme == "first") return PrependScheme::first;
  if (scheme == "never") return PrependScheme::never;
  not_supported("prepend_scheme", scheme, "always, first, never");
}

PreTokenizer parse_pre_tokenizer(const json& component) {
  const std::string type = type_of(component, "a pre-tokenizer");
  if (type == "ByteLevel")
    return byte_level_pre_tokenizer(get_bool(component, "add_prefix_space", true),
                                    get_bool(component, "use_regex", true));
  if (type == "Split") {
    const auto [pattern, is_regex] = get_pattern(component);
    const std::string name = get_string(component, "behavior");
    const std::optional<SplitBehavior> behavior = try_parse_split_behavior(name);
    if (!behavior)
      not_supported("split behavior", name,
                    "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
    return split_pre_tokenizer(is_regex ? pattern : escape_regex(pattern), *behavior,
                               get_bool(component, "invert", false));
  }
  if (type == "Digits")
    return split_pre_tokenizer("\\p{N}",
                               get_bool(component, "individual_digits", false)
                                   ? SplitBehavior::isolated
                                   : SplitBehavior::contiguous,
                               false);
  if (type == "Metaspace")
    return metaspace_pre_tokenizer(get_string(component, "replacement"),
                                   parse_prepend_scheme(component),
                                   get_bool(component, "split", true));
  if (type == "Whitespace")
    return split_pre_tokenizer("\\w+|[^\\w\\s]+", SplitBehavior::removed, true);
  if (type == "WhitespaceSplit") return split_pre_tokenizer("\\s", SplitBehavior::removed, false);
  not_supported("pre-tokenizer", type,
                "ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Sequence");
}

/// Ids that TemplateProcessing puts before and after a single text.
void parse_template(const json& component, TokenizerComponents& parts) {
  if (!component.contains("single") || !component["single"].is_array())
    refuse("TemplateProcessing has no \"single\"");
  bool is_after_text = false;
  for (const json& item : component["single"]) {
    if (item.is_object() && item.contains("Sequence")) {
      is_after_text = true;
    } else if (item.is_object() && item.contains("SpecialToken")) {
      const std::string name = get_string(item["SpecialToken"], "id");
      const json known = component.value("special_tokens", json::object());
      if (!known.is_object() || !known.contains(name) || !known[name].is_object() ||
          !known[name].contains("ids") || !known[name]["ids"].is_array())
        refuse(fmt::format("TemplateProcessing names \"{}\", which is none of its special_tokens",
                           name));
      for (const json& id : known[name]["ids"])
        (is_after_text ? parts.suffix_ids : parts.prefix_ids).push_back(get_id(id));
    } else {
      refuse("TemplateProcessing has an item that is neither Sequence nor SpecialToken");
    }
  }
}

void parse_post_processor(const json& component, TokenizerComponents& parts) {
  const std::string type = type_of(component, "the post-processor");
  if (type == "TemplateProcessing")
    parse_template(component, parts);
  else if (type != "ByteLevel")  // which changes offsets only
    not_supported("post-processor", type, "TemplateProcessing, ByteLevel, Sequence");
}

void parse_decoder(const json& component, TokenDecoder& decoder) {
  const std::string type = type_of(component, "the decoder");
  if (type == "ByteLevel") {
    decoder.is_byte_level = true;
  } else if (type == "ByteFallback") {
    decoder.has_byte_fallback = true;
    decoder.rules.bytes = JoinRules::Bytes::whole_run;
  } else if (type == "Replace") {
    const auto [pattern, is_regex] = get_pattern(component);
    if (is_regex) not_supported("decoder", "Replace with a Regex", "Replace with a String");
    decoder.replacements.emplace_back(pattern, get_string(component, "content"));
  } else if (type == "Metaspace") {
    decoder.replacements.emplace_back(get_string(component, "replacement"), " ");
    decoder.drops_first_space = parse_prepend_scheme(component) != PrependScheme::never;
    decoder.rules.bytes = JoinRules::Bytes::whole_run;
  } else if (type == "Strip") {
    if (get_string(component, "content") != " " || component.value("stop", json(0)) != 0)
      not_supported("decoder", "Strip of anything but leading spaces",
                    "Strip with content \" \" and stop 0");
    const json start = component.value("start", json(0));
    if (!start.is_number_unsigned() || start.get<uint64_t>() > 1024)
      refuse("\"start\" of Strip is no small count");
    decoder.rules.num_leading_spaces_stripped = start.get<int>();
  } else if (type != "Fuse") {
    not_supported("decoder", type,
                  "ByteLevel, ByteFallback, Replace, Metaspace, Strip, Fuse, Sequence");
  }
}

std::vector<AddedToken> parse_added_tokens(const json& root) {
  std::vector<AddedToken> tokens;
  const json list = root.value("added_tokens", json::array());
  if (!list.is_array()) refuse("\"added_tokens\" is no list");
  for (const json& item : list) {
    if (!item.is_object() || !item.contains("id")) refuse("an added token has no id");
    AddedToken token;
    token.id = get_id(item["id"]);
    token.content = get_string(item, "content");
    token.is_special = get_bool(item, "special", false);
    token.is_normalized = get_bool(item, "normalized", !token.is_special);
    token.is_single_word = get_bool(item, "single_word", false);
    token.strips_left = get_bool(item, "lstrip", false);
    token.strips_right = get_bool(item, "rstrip", false);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

std::pair<std::string, std::string> parse_merge(const json& item, size_t index) {
  if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string())
    return {item[0].get<std::string>(), item[1].get<std::string>()};
  if (item.is_string()) {
    const auto text = item.get<std::string>();
    const size_t space = text.find(' ', 1);
    if (space != std::string::npos && space + 1 < text.size())
      return {text.substr(0, space), text.substr(space + 1)};
  }
  refuse(fmt::format("merge {} is no pair of tokens", index));
}

std::unique_ptr<Bpe> parse_model(const json& root) {
  if (!root.contains("model") || !root["model"].is_object()) refuse("there is no \"model\"");
  const json& model = root["model"];
  const std::string type = model.contains("type") ? type_of(model, "the model") : "BPE";
  if (type != "BPE") not_supported("model", type, "BPE");
  if (model.contains("dropout") && !model["dropout"].is_null() && model["dropout"] != 0)
    not_supported("model option", "dropout", "models without it");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (model.contains(affix) && !model[affix].is_null() && model[affix] != "")
      not_supported("model option", affix, "models without it");
  if (!model.contains("vocab") || !model["vocab"].is_object()) refuse("the model has no \"vocab\"");
  std::unordered_map<std::string, int32_t> vocab;
  for (const auto& [token, id] : model["vocab"].items()) vocab[token] = get_id(id);
  if (!model.contains("merges") || !model["merges"].is_array())
    refuse("the model has no \"merges\"");
  std::vector<std::pair<std::string, std::string>> merges;
  for (const json& item : model["merges"]) merges.push_back(parse_merge(item, merges.size()));
  BpeOptions options;
  options.ignore_merges = get_bool(model, "ignore_merges", false);
  options.byte_fallback = get_bool(model, "byte_fallback", false);
  options.fuse_unk = get_bool(model, "fuse_unk", false);
  if (model.contains("unk_token") && !model["unk_token"].is_null())
    options.unk_token = get_string(model, "unk_token");
  return std::make_unique<Bpe>(std::move(vocab), merges, std::move(options));
}

json parse_bounded(std::string_view text) {
  const json::parser_callback_t bound_depth = [](int depth, json::parse_event_t, json&) {
    if (depth > kMaxDepth) refuse(fmt::format("JSON nested deeper than {} levels", kMaxDepth));
    return true;
  };
  try {
    return json::parse(text, bound_depth);
  } catch (const json::exception& e) {
    refuse(fmt::format("no valid JSON: {}", e.what()));
  }
}

}  // namespace

DecodedToken TokenDecoder::piece_of(const std::string& token) const {
  if (is_byte_level) return {characters_to_bytes(token), false, false};
  if (has_byte_fallback && token.size() == 6 && token.starts_with("<0x") && token.ends_with('>')) {
    const std::string digits = token.substr(3, 2);
    if (digits.find_first_not_of("0123456789ABCDEFabcdef") == std::string::npos)
      return {std::string(1, static_cast<char>(std::stoi(digits, nullptr, 16))), true, false};
  }
  DecodedToken decoded{token, false, false};
  for (const auto& [from, to] : replacements) {
    std::string replaced;
    size_t at = 0;
    for (size_t found = decoded.text.find(from); found != std::string::npos && !from.empty();
         found = decoded.text.find(from, at)) {
      replaced.append(decoded.text, at, found - at).append(to);
      at = found + from.size();
    }
    decoded.text = replaced.append(decoded.text, at);
  }
  decoded.drops_space_at_start = drops_first_space && decoded.text.starts_with(' ');
  return decoded;
}

TokenizerComponents parse_components(std::string_view text) {
  const json root = parse_bounded(text);
  if (!root.is_object()) refuse("it is no JSON object");
  TokenizerComponents parts;
  parts.added_tokens = parse_added_tokens(root);
  const auto component = [&](const char* key) { return root.value(key, json()); };
  for_each_component(component("normalizer"), "normalizers", 0, [&](const json& item) {
    parts.normalizers.push_back(parse_normalizer(item));
  });
  for_each_component(component("pre_tokenizer"), "pretokenizers", 0, [&](const json& item) {
    parts.pre_tokenizers.push_back(parse_pre_tokenizer(item));
  });
  parts.bpe = parse_model(root);
  for_each_component(component("post_processor"), "processors", 0,
                     [&](const json& item) { parse_post_processor(item, parts); });
  for_each_component(component("decoder"), "decoders", 0,
                     [&](const json& item) { parse_decoder(item, parts.decoder); });
  return parts;
}

}  // namespace veloz::text
