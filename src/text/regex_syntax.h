// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace veloz::text {

/// A pattern as tokenizers mean it (Oniguruma), written for PCRE2: the classes \s and \w are those
/// of Unicode, which PCRE2 has wider and narrower. Throws Error(unsupported) naming a construct
/// that the two read differently and that no tokenizer we know uses.
std::string to_pcre2_syntax(std::string_view pattern);

}  // namespace veloz::text
