// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace veloz::text::jinja {

inline constexpr int64_t kMaxJsonIndent = 64;

/// As json.dumps of Python writes it.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // of one level; absent: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

/// Throws Error(invalid_input) for what JSON cannot say, such as undefined or a macro.
Value to_json(const Value& value, const JsonStyle& style, Meter& meter);

/// What becomes of an integer beyond 64 bits: configurations write 1e30 digit by digit for "no
/// limit".
enum class BigIntegers { refuse, as_real };

/// The value of a JSON text, with the order of its keys. Throws Error(invalid_input) for what is no
/// JSON, nests deeper than 150, or has an integer beyond 64 bits.
Value parse_json(std::string_view text, BigIntegers big_integers = BigIntegers::refuse);

}  // namespace veloz::text::jinja
