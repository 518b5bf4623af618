// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "grammar/budget.h"
#include "grammar/code_points.h"

namespace veloz::grammar {

/// A regular expression, taken apart. Groups are gone: they only held parts together.
struct RegexNode {
  enum class Kind : uint8_t { characters, sequence, choice, repeat, text_start, text_end };
  Kind kind = Kind::sequence;  // without parts: the empty text
  size_t offset = 0;           // where it stands in the pattern, in bytes
  CodePointSet characters{};
  uint32_t min = 0;
  uint32_t max = 0;  // kUnbounded
  std::vector<RegexNode> parts{};
};

/// The regular part of ECMAScript's syntax with the u flag, with Python's (?P<name>...) besides.
/// \d and \w are ASCII, \s and `.` are ECMAScript's; lazy quantifiers match what greedy ones do.
/// Throws Error(invalid_input) with the offset for what is malformed, or is not regular:
/// look-around, references back, \b, flags.
RegexNode parse_regex(std::string_view pattern, Budget& budget);

}  // namespace veloz::grammar
