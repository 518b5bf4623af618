// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include "text/tokenizer.h"

namespace veloz::text {

/// The tokenizer that a tokenizer.json describes: BPE with the components that GPT-2, GPT-J, Llama
/// and Qwen use. Throws Error(corrupt_data) or Error(unsupported) naming the component.
std::unique_ptr<Tokenizer> parse_tokenizer_json(std::string_view json);

}  // namespace veloz::text
