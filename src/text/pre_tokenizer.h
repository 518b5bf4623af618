// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace veloz::text {

/// What becomes of the parts that a pattern matches (names as tokenizer.json has them).
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
/// Nothing for an unknown name.
std::optional<SplitBehavior> try_parse_split_behavior(std::string_view name);

/// Cuts `text` at the matches; with `is_inverted` the matches are what is between.
std::vector<std::string> split(const std::string& text, const Regex& regex, SplitBehavior behavior,
                               bool is_inverted);

/// Where a piece stands in the whole text, for steps that treat its start differently.
struct PieceContext {
  bool is_text_start = false;
};

/// One step that cuts a piece of text into smaller ones, rewriting them where it must.
using PreTokenizer =
    std::function<std::vector<std::string>(const std::string& piece, const PieceContext& context)>;

/// GPT-2's own pattern.
extern const char* const kGpt2Pattern;

PreTokenizer split_pre_tokenizer(const std::string& pattern, SplitBehavior behavior,
                                 bool is_inverted);
/// Writes bytes as characters, after GPT-2's pattern where `use_regex`.
PreTokenizer byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex);

enum class PrependScheme { always, first, never };
/// Of a Metaspace component, as old and new files write it.
PrependScheme parse_prepend_scheme(const nlohmann::json& component);
PreTokenizer metaspace_pre_tokenizer(const std::string& replacement, PrependScheme scheme,
                                     bool is_split);

}  // namespace veloz::text
