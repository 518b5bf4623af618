// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace veloz::text {

/// Length of the well-formed UTF-8 sequence at the front of `text` (1 to 4); 0 where there is none.
size_t utf8_length(std::string_view text);

/// Whether `text` could become well-formed by more bytes at its end: a sequence cut off.
bool is_cut_off(std::string_view text);

/// The code point of a well-formed sequence.
uint32_t decode_code_point(std::string_view sequence);
void append_code_point(std::string& text, uint32_t code_point);

/// `text` with each maximal ill-formed part replaced by U+FFFD, as Unicode recommends and Python
/// does.
std::string to_valid_utf8(std::string_view text);

}  // namespace veloz::text
