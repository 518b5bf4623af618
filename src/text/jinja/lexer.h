// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace veloz::text::jinja {

enum class TokenKind {
  data,         // template text; white space control is already applied
  print_begin,  // {{
  print_end,    // }}
  block_begin,  // {%
  block_end,    // %}
  name,
  string,  // unescaped
  integer,
  real,
  symbol,  // an operator or a bracket
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  int line = 1;
  std::string text;
  int64_t integer = 0;
  double real = 0;
};

/// Splits a template into tokens as jinja2 does with trim_blocks and lstrip_blocks on: comments are
/// dropped, `raw` blocks become data, one final newline is removed. `source` must be UTF-8.
/// Throws Error(invalid_input) that names the line.
std::vector<Token> tokenize(std::string_view source);

/// For what the parser or the lexer does not accept: `what`, and the line it stands in.
[[noreturn]] void throw_syntax_error(int line, std::string what);
/// Valid Jinja beyond the subset.
[[noreturn]] void throw_unsupported_construct(int line, std::string what);

}  // namespace veloz::text::jinja
