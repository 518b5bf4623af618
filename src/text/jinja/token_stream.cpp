// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/token_stream.h"

#include <fmt/format.h>

namespace veloz::text::jinja {

std::string TokenStream::describe() {
  switch (current().kind) {
    case TokenKind::data:
      return "template text";
    case TokenKind::print_begin:
      return "'{{'";
    case TokenKind::print_end:
      return "'}}'";
    case TokenKind::block_begin:
      return "'{%'";
    case TokenKind::block_end:
      return "'%}'";
    case TokenKind::name:
      return fmt::format("'{}'", current().text);
    case TokenKind::string:
      return "a string";
    case TokenKind::integer:
    case TokenKind::real:
    case TokenKind::symbol:
      return fmt::format("'{}'", current().text);
    case TokenKind::end:
      return "the end of the template";
  }
  return "a token";
}

void TokenStream::expect_symbol(std::string_view text) {
  if (!skip_symbol(text))
    throw_syntax_error(line(), fmt::format("expected '{}', got {}", text, describe()));
}

void TokenStream::expect(TokenKind kind, std::string_view what) {
  if (!is(kind)) throw_syntax_error(line(), fmt::format("expected {}, got {}", what, describe()));
  ++at_;
}

std::string TokenStream::expect_name() {
  if (!is(TokenKind::name))
    throw_syntax_error(line(), fmt::format("expected a name, got {}", describe()));
  return take().text;
}

}  // namespace veloz::text::jinja
