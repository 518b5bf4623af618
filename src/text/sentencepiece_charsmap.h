// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace veloz::text {

/// Checks the "precompiled_charsmap" of a SentencePiece model, which the library walks unchecked:
/// its size, a double-array trie (darts-clone) over the texts to replace, and the replacements,
/// each ended by NUL. Empty is no normalisation. Throws Error(corrupt_data).
void check_sentencepiece_charsmap(std::string_view blob);

}  // namespace veloz::text
