// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

namespace veloz::text {

/// The tokenizer of a tokenizer.model (SentencePiece BPE), as transformers' LlamaTokenizer wrapped
/// it: bos, then what the library makes of each stretch of text between added tokens. Throws Error:
/// corrupt_data, unsupported.
std::unique_ptr<Tokenizer> parse_sentencepiece(std::string_view model,
                                               const TokenizerConfig& config);

}  // namespace veloz::text
