// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_decoder.h"

namespace veloz::text {

/// The parts of a tokenizer.json, checked: every id has one token, and every added token that the
/// vocabulary holds has the vocabulary's id.
struct TokenizerComponents {
  std::vector<AddedToken> added_tokens;
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  std::unique_ptr<Bpe> bpe;
  std::vector<int32_t> prefix_ids, suffix_ids;  // what the post-processor puts around one text
  TokenDecoder decoder;
};

/// Throws Error: corrupt_data (with the component and value), unsupported (naming the component).
TokenizerComponents parse_components(std::string_view json);

}  // namespace veloz::text
