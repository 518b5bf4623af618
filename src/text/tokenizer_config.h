// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.h"

namespace veloz::text {

/// Tokens by role, as tokenizer_config.json names them; "" where it does not.
struct SpecialTokenNames {
  std::string bos;
  std::string eos;
};
SpecialTokenNames load_special_token_names(const std::filesystem::path& model_dir);

/// What a model directory says about tokens beside its tokenizer.model: tokenizer_config.json,
/// special_tokens_map.json, added_tokens.json.
struct TokenizerConfig {
  std::vector<AddedToken> added_tokens;      // with the ids given there, by id
  std::vector<std::string> special_tokens;   // those that have a role, sorted
  std::optional<std::string> bos, eos, unk;  // none where no file names one
  bool adds_bos = true, adds_eos = false;    // LlamaTokenizer's defaults
};
/// All defaults where there are no such files. Throws Error(corrupt_data).
TokenizerConfig load_tokenizer_config(const std::filesystem::path& model_dir);

}  // namespace veloz::text
