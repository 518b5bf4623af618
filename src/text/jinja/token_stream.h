// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/lexer.h"

namespace veloz::text::jinja {

/// The tokens of a template and a place among them; the last token is always `end`.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Token& current() { return tokens_[at_]; }
  const Token& look_ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  int line() { return current().line; }
  Token take() {
    Token token = std::move(tokens_[at_]);
    if (token.kind == TokenKind::end)
      tokens_[at_].kind = TokenKind::end;
    else
      ++at_;
    return token;
  }

  bool is(TokenKind kind) { return current().kind == kind; }
  bool is_name(std::string_view name) { return is(TokenKind::name) && current().text == name; }
  bool is_symbol(std::string_view text) { return is(TokenKind::symbol) && current().text == text; }
  bool skip_name(std::string_view name) { return is_name(name) && skip(); }
  bool skip_symbol(std::string_view text) { return is_symbol(text) && skip(); }
  void expect_symbol(std::string_view text);
  void expect(TokenKind kind, std::string_view what);
  std::string expect_name();
  /// The current token, for a message: "'%}'", "the name 'foo'".
  std::string describe();

 private:
  bool skip() {
    ++at_;
    return true;
  }
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace veloz::text::jinja
