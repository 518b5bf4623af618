// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_components.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "text/json_fields.h"

namespace veloz::text {
namespace {

using nlohmann::json;

// \w of Rust's regex: with the joiners, unlike that of the engine behind Split.
constexpr std::string_view kWordClass = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}";

Normalizer parse_normalizer(const json& component) {
  const std::string type = get_type(component, "a normalizer");
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
  refuse_component("normalizer", type,
                   "NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Strip, Replace, Sequence");
}

/// `is_first`: no other one has cut the text before.
PreTokenizer parse_pre_tokenizer(const json& component, bool is_first) {
  const std::string type = get_type(component, "a pre-tokenizer");
  if (type == "ByteLevel")
    return byte_level_pre_tokenizer(get_bool(component, "add_prefix_space", true),
                                    get_bool(component, "use_regex", true));
  if (type == "Split") {
    const auto [pattern, is_regex] = get_pattern(component);
    const std::string name = get_string(component, "behavior");
    const std::optional<SplitBehavior> behavior = try_parse_split_behavior(name);
    if (!behavior)
      refuse_component("split behavior", name,
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
  if (type == "Metaspace") {
    const PrependScheme scheme = parse_prepend_scheme(component);
    if (scheme == PrependScheme::first && !is_first)
      refuse_component("pre-tokenizer", "Metaspace with prepend_scheme first, after another one",
                       "such a Metaspace in the first place");
    const std::string replacement = get_string(component, "replacement");
    if (replacement.empty()) refuse_json("Metaspace has an empty replacement");
    return metaspace_pre_tokenizer(replacement, scheme, get_bool(component, "split", true));
  }
  if (type == "Whitespace")
    return split_pre_tokenizer(fmt::format("[{0}]+|[^{0}\\s]+", kWordClass), SplitBehavior::removed,
                               true);
  if (type == "WhitespaceSplit") return split_pre_tokenizer("\\s", SplitBehavior::removed, false);
  refuse_component("pre-tokenizer", type,
                   "ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Sequence");
}

/// Ids that TemplateProcessing puts before and after a single text.
void parse_template(const json& component, TokenizerComponents& parts) {
  const auto single = component.find("single");
  if (single == component.end() || !single->is_array())
    refuse_json("TemplateProcessing has no \"single\"");
  const json known = component.value("special_tokens", json::object());
  std::vector<int32_t> before, after;
  int num_texts = 0;
  for (const json& item : *single) {
    if (item.is_object() && item.contains("Sequence")) {
      ++num_texts;
    } else if (item.is_object() && item.contains("SpecialToken")) {
      const std::string name = get_string(item["SpecialToken"], "id");
      const auto token = known.is_object() ? known.find(name) : known.end();
      if (token == known.end() || !token->is_object() || !token->contains("ids") ||
          !(*token)["ids"].is_array())
        refuse_json(fmt::format(
            "TemplateProcessing names \"{}\", which is none of its special_tokens", name));
      for (const json& id : (*token)["ids"])
        (num_texts > 0 ? after : before).push_back(get_token_id(id));
    } else {
      refuse_json("TemplateProcessing has an item that is neither Sequence nor SpecialToken");
    }
  }
  if (num_texts != 1)
    refuse_component("TemplateProcessing", fmt::format("{} texts in \"single\"", num_texts),
                     "templates with one text");
  parts.prefix_ids.insert(parts.prefix_ids.begin(), before.begin(), before.end());
  parts.suffix_ids.insert(parts.suffix_ids.end(), after.begin(), after.end());
}

void parse_post_processor(const json& component, TokenizerComponents& parts) {
  const std::string type = get_type(component, "the post-processor");
  if (type == "TemplateProcessing")
    parse_template(component, parts);
  else if (type != "ByteLevel")  // which changes offsets only
    refuse_component("post-processor", type, "TemplateProcessing, ByteLevel, Sequence");
}

std::vector<AddedToken> parse_added_tokens(const json& root) {
  std::vector<AddedToken> tokens;
  const json list = root.value("added_tokens", json::array());
  if (!list.is_array()) refuse_json("\"added_tokens\" is no list");
  for (const json& item : list) {
    if (!item.is_object() || !item.contains("id")) refuse_json("an added token has no id");
    AddedToken token;
    token.id = get_token_id(item["id"]);
    token.content = get_string(item, "content");
    if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes)
      refuse_json(fmt::format("added token {} has {} bytes (1 to {})", token.id,
                              token.content.size(), kMaxAddedTokenBytes));
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
  refuse_json(fmt::format("merge {} is no pair of tokens", index));
}

std::unique_ptr<Bpe> parse_model(const json& root) {
  if (!root.contains("model") || !root["model"].is_object()) refuse_json("there is no \"model\"");
  const json& model = root["model"];
  const std::string type = model.contains("type") ? get_type(model, "the model") : "BPE";
  if (type != "BPE") refuse_component("model", type, "BPE");
  if (model.contains("dropout") && !model["dropout"].is_null() && model["dropout"] != 0)
    refuse_component("model option", "dropout", "models without it");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.value(affix, json()).is_null() && !get_string(model, affix).empty())
      refuse_component("model option", affix, "models without it");
  if (!model.contains("vocab") || !model["vocab"].is_object())
    refuse_json("the model has no \"vocab\"");
  std::unordered_map<std::string, int32_t> vocab;
  for (const auto& [token, id] : model["vocab"].items()) vocab[token] = get_token_id(id);
  if (!model.contains("merges") || !model["merges"].is_array())
    refuse_json("the model has no \"merges\"");
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

/// One token per id, one id per token; what the post-processor adds is a token.
void check_ids(const TokenizerComponents& parts) {
  std::unordered_map<int32_t, std::string> tokens;
  for (const auto& [token, id] : parts.bpe->vocab())
    if (const auto [other, is_new] = tokens.try_emplace(id, token); !is_new)
      refuse_json(fmt::format("tokens \"{}\" and \"{}\" have the same id {}",
                              std::min(other->second, token), std::max(other->second, token), id));
  std::unordered_map<std::string, int32_t> ids;
  for (const AddedToken& added : parts.added_tokens) {
    const std::optional<int32_t> known = parts.bpe->token_id(added.content);
    if (known.value_or(added.id) != added.id)
      refuse_json(fmt::format("added token \"{}\" has id {}, and {} in the vocabulary",
                              added.content, added.id, *known));
    if (const auto [other, is_new] = tokens.try_emplace(added.id, added.content);
        !is_new && other->second != added.content)
      refuse_json(fmt::format("added token \"{}\" and \"{}\" have the same id {}", added.content,
                              other->second, added.id));
    if (!ids.try_emplace(added.content, added.id).second)
      refuse_json(fmt::format("added token \"{}\" is there twice", added.content));
  }
  for (const std::vector<int32_t>* list : {&parts.prefix_ids, &parts.suffix_ids})
    for (const int32_t id : *list)
      if (!tokens.contains(id))
        refuse_json(fmt::format("TemplateProcessing adds id {}, which is no token", id));
}

}  // namespace

TokenizerComponents parse_components(std::string_view text) {
  const json root = parse_bounded_json(text);
  if (!root.is_object()) refuse_json("it is no JSON object");
  TokenizerComponents parts;
  parts.added_tokens = parse_added_tokens(root);
  const auto component = [&](const char* key) { return root.value(key, json()); };
  for_each_component(component("normalizer"), "normalizers", [&](const json& item) {
    parts.normalizers.push_back(parse_normalizer(item));
  });
  for_each_component(component("pre_tokenizer"), "pretokenizers", [&](const json& item) {
    parts.pre_tokenizers.push_back(parse_pre_tokenizer(item, parts.pre_tokenizers.empty()));
  });
  parts.bpe = parse_model(root);
  for_each_component(component("post_processor"), "processors",
                     [&](const json& item) { parse_post_processor(item, parts); });
  parts.decoder = parse_decoder(component("decoder"));
  check_ids(parts);
  return parts;
}

}  // namespace veloz::text
