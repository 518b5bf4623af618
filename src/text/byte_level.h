// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace veloz::text {

/// GPT-2's way to write bytes as visible characters: printable Latin-1 bytes stand for themselves,
/// the other 68 for U+0100 and up, in order.
std::string bytes_to_characters(std::string_view bytes);
/// Back to bytes; a text with a character that stands for no byte (an added token's) stays as it
/// is.
std::string characters_to_bytes(std::string_view characters);

}  // namespace veloz::text
