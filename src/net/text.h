// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace veloz::net {

/// ASCII letters compare equal in either case.
bool equals_ignoring_case(std::string_view a, std::string_view b);

/// Of one digit, in either case.
std::optional<int> hex_digit(char c);

/// Whether it may stand in a method or in the name of a header field (RFC 9110's tchar).
bool is_token_char(char c);

/// A number of digits alone; nothing where it is something else or does not fit.
std::optional<uint64_t> parse_digits(std::string_view text);

/// "%41b" -> "Ab"; nothing for a bad escape, and for one that would hide a NUL.
std::optional<std::string> percent_decode(std::string_view text);

/// Whether an x-request-id may be echoed and logged as it is: 1 to 128 visible ASCII characters,
/// without quotes and backslashes.
bool is_fit_request_id(std::string_view id);

/// 32 hexadecimal digits, different ones each time.
std::string draw_request_id();

}  // namespace veloz::net
