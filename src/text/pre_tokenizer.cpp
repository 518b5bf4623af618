// SPDX-License-Identifier: Apache-2.0
#include "text/pre_tokenizer.h"

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "text/byte_level.h"
#include "text/json_fields.h"

namespace veloz::text {
namespace {

constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kBehaviors = {{
    {"Removed", SplitBehavior::removed},
    {"Isolated", SplitBehavior::isolated},
    {"MergedWithPrevious", SplitBehavior::merged_with_previous},
    {"MergedWithNext", SplitBehavior::merged_with_next},
    {"Contiguous", SplitBehavior::contiguous},
}};

struct Part {
  std::string text;
  bool is_match = false;
};

/// The text as matches and what lies between, in order, none empty.
std::vector<Part> find_parts(const std::string& text, const Regex& regex, bool is_inverted) {
  std::vector<Part> parts;
  size_t at = 0;
  const auto add = [&](size_t begin, size_t end, bool is_match) {
    if (begin < end) parts.push_back({text.substr(begin, end - begin), is_match != is_inverted});
  };
  for (const Regex::Range& range : regex.find_all(text)) {
    add(at, range.begin, false);
    add(range.begin, range.end, true);
    at = range.end;
  }
  add(at, text.size(), false);
  return parts;
}

}  // namespace

const char* const kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::optional<SplitBehavior> try_parse_split_behavior(std::string_view name) {
  for (const auto& [known, behavior] : kBehaviors)
    if (known == name) return behavior;
  return std::nullopt;
}

std::vector<std::string> split(const std::string& text, const Regex& regex, SplitBehavior behavior,
                               bool is_inverted) {
  std::vector<std::string> pieces;
  bool is_previous_match = false;
  bool has_open_match = false;  // merged_with_next: the last piece waits for what follows it
  for (Part& part : find_parts(text, regex, is_inverted)) {
    switch (behavior) {
      case SplitBehavior::removed:
        if (!part.is_match) pieces.push_back(std::move(part.text));
        break;
      case SplitBehavior::isolated:
        pieces.push_back(std::move(part.text));
        break;
      case SplitBehavior::merged_with_previous:
        if (part.is_match && !is_previous_match && !pieces.empty())
          pieces.back() += part.text;
        else
          pieces.push_back(std::move(part.text));
        break;
      case SplitBehavior::merged_with_next:
        if (!part.is_match && has_open_match)
          pieces.back() += part.text;
        else
          pieces.push_back(std::move(part.text));
        has_open_match = part.is_match;
        break;
      case SplitBehavior::contiguous:
        if (part.is_match == is_previous_match && !pieces.empty())
          pieces.back() += part.text;
        else
          pieces.push_back(std::move(part.text));
        break;
    }
    is_previous_match = part.is_match;
  }
  return pieces;
}

PreTokenizer split_pre_tokenizer(const std::string& pattern, SplitBehavior behavior,
                                 bool is_inverted) {
  auto regex = std::make_shared<const Regex>(pattern);
  return [regex, behavior, is_inverted](const std::string& piece, const PieceContext&) {
    return split(piece, *regex, behavior, is_inverted);
  };
}

PreTokenizer byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex) {
  auto regex = use_regex ? std::make_shared<const Regex>(kGpt2Pattern) : nullptr;
  return [regex, add_prefix_space](const std::string& piece, const PieceContext&) {
    const bool needs_space = add_prefix_space && !piece.empty() && piece[0] != ' ';
    const std::string text = needs_space ? " " + piece : piece;
    std::vector<std::string> pieces = regex ? split(text, *regex, SplitBehavior::isolated, false)
                                            : std::vector<std::string>{text};
    for (std::string& part : pieces) part = bytes_to_characters(part);
    return pieces;
  };
}

PrependScheme parse_prepend_scheme(const nlohmann::json& component) {
  if (!component.contains("prepend_scheme"))
    return get_bool(component, "add_prefix_space", true) ? PrependScheme::always
                                                         : PrependScheme::never;
  const std::string scheme = get_string(component, "prepend_scheme");
  if (scheme == "always") return PrependScheme::always;
  if (scheme == "first") return PrependScheme::first;
  if (scheme == "never") return PrependScheme::never;
  refuse_component("prepend_scheme", scheme, "always, first, never");
}

PreTokenizer metaspace_pre_tokenizer(const std::string& replacement, PrependScheme scheme,
                                     bool is_split) {
  auto space = std::make_shared<const Regex>(" ");
  auto marker = std::make_shared<const Regex>(escape_regex(replacement));
  return [=](const std::string& piece, const PieceContext& context) {
    std::string text;
    size_t at = 0;
    for (const Regex::Range& range : space->find_all(piece)) {
      text.append(piece, at, range.begin - at).append(replacement);
      at = range.end;
    }
    text.append(piece, at);
    const bool is_prefixed = scheme == PrependScheme::always ||
                             (scheme == PrependScheme::first && context.is_text_start);
    if (is_prefixed && !text.starts_with(replacement)) text.insert(0, replacement);
    if (!is_split) return std::vector<std::string>{text};
    return split(text, *marker, SplitBehavior::merged_with_next, false);
  };
}

}  // namespace veloz::text
