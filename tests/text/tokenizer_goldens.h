// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace veloz::text::test {

using Ids = std::vector<int32_t>;

/// tests/golden/text, which make_tokenizer_goldens.py there wrote.
std::filesystem::path tokenizer_golden_dir();
nlohmann::json read_tokenizer_golden(const std::filesystem::path& name);
/// strings.json.
std::vector<std::string> awkward_strings();
/// Base64 of LEB128: per list its length and its numbers.
std::vector<Ids> unpack_ids(std::string_view packed);

/// Lists of ids and what they decode to.
struct GoldenTexts {
  std::vector<Ids> ids;
  std::vector<std::string> keep, skip;  // with special tokens and without
};
/// Of a golden.json or one of the variants: the ids of `texts`.
GoldenTexts golden_texts(const nlohmann::json& golden, const std::vector<std::string>& texts);
/// Of ids that no text gave.
GoldenTexts random_golden_texts(const nlohmann::json& golden);

void expect_encodes(const Tokenizer& tokenizer, const GoldenTexts& golden,
                    const std::vector<std::string>& texts);
/// At once, and token by token.
void expect_decodes(const Tokenizer& tokenizer, const GoldenTexts& golden);

}  // namespace veloz::text::test
