// SPDX-License-Identifier: Apache-2.0
#include "grammar/pattern_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "grammar/hex.h"
#include "text/utf8.h"

namespace veloz::grammar {

bool PatternReader::try_take(char c) {
  if (at_end() || pattern_[offset_] != c) return false;
  ++offset_;
  return true;
}

uint32_t PatternReader::take_code_point() {
  if (at_end()) refuse(offset_, "the pattern ends too early");
  const size_t length = text::utf8_length(rest());
  if (length == 0) refuse(offset_, "the pattern is no UTF-8");
  const uint32_t code_point = text::decode_code_point(rest().substr(0, length));
  offset_ += length;
  return code_point;
}

uint32_t PatternReader::take_hex(size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto digit = hex_digit(peek());
    if (!digit) refuse(offset_, fmt::format("{} hexadecimal digits are needed here", count));
    value = value * 16 + *digit;
    ++offset_;
  }
  return value;
}

void PatternReader::skip_all(std::string_view characters) {
  while (!at_end() && characters.find(peek()) != std::string_view::npos) ++offset_;
}

void PatternReader::refuse(size_t offset, std::string_view what) const {
  const auto end = pattern_.begin() + static_cast<int64_t>(std::min(offset, pattern_.size()));
  const std::string place =
      source_ == Source::regex
          ? fmt::format("regex, offset {}", offset)
          : fmt::format("grammar, line {}", std::count(pattern_.begin(), end, '\n') + 1);
  throw Error(ErrorKind::invalid_input, fmt::format("{}: {}", place, what),
              "see docs/structured-output.md for the supported syntax");
}

}  // namespace veloz::grammar
