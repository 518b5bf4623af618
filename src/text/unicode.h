// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace veloz::text {

/// White_Space of the Unicode character database.
bool is_space(uint32_t code_point);
/// Letters, marks, digits, connectors and joiners: \w as Unicode (UTS #18) recommends it.
bool is_word(uint32_t code_point);

/// Bytes of the white-space character at the front or end of valid UTF-8; 0 where there is none.
size_t leading_space_bytes(std::string_view text);
size_t trailing_space_bytes(std::string_view text);

/// The character (its bytes) that ends valid UTF-8; empty for empty text.
std::string_view last_character(std::string_view text);

}  // namespace veloz::text
