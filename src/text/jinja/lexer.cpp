// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "text/jinja/python_text.h"
#include "text/jinja/string_literal.h"

namespace veloz::text::jinja {

void throw_syntax_error(int line, std::string what) {
  throw Error(ErrorKind::invalid_input, fmt::format("chat template line {}: {}", line, what),
              "correct the template's syntax");
}

void throw_unsupported_construct(int line, std::string what) {
  throw Error(ErrorKind::unsupported,
              fmt::format("chat template line {}: {} is not supported", line, what),
              "write the chat template without it, or format the prompt yourself");
}

namespace {

// Longest first, so that the first that fits is right.
constexpr std::string_view kSymbols[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string normalize_newlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) lex_data();
    add(TokenKind::end, {});
    return std::move(tokens_);
  }

 private:
  void lex_data();
  void lex_comment();
  void lex_raw(size_t body);
  void lex_tag(TokenKind begin, TokenKind end);
  bool lex_tag_end(TokenKind kind, std::string_view delimiter);
  void lex_number();
  void lex_string();
  void lex_symbol();
  std::optional<size_t> raw_body() const;
  std::string_view before_tag(std::string_view text, char sign, bool is_print) const;

  void add(TokenKind kind, std::string text) {
    tokens_.push_back({.kind = kind, .line = line_, .text = std::move(text)});
  }
  void advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  size_t skip_spaces(size_t at) const {
    while (at < source_.size() && is_space(code_point(source_, at)))
      at += code_point_size(source_, at);
    return at;
  }
  bool starts_with(size_t at, std::string_view what) const {
    return source_.substr(std::min(at, source_.size()), what.size()) == what;
  }
  // After `%}` or `#}`: one newline goes with the tag, unless it was written `+%}`.
  size_t trim_newline(size_t at) const { return starts_with(at, "\n") ? at + 1 : at; }
  // What follows a tag that ended at `to` starts a line if the tag took the newline along.
  void end_tag(size_t to) {
    line_starting_ = source_[to - 1] == '\n';
    advance(to);
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<char> brackets_;
  std::vector<Token> tokens_;
};

std::string_view Lexer::before_tag(std::string_view text, char sign, bool is_print) const {
  if (sign == '-') return strip(text, Side::right, std::nullopt);
  if (sign == '+' || is_print) return text;
  const size_t newline = text.rfind('\n');
  const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
  if (line_start == 0 && !line_starting_) return text;
  const bool blank = strip(text.substr(line_start), Side::both, std::nullopt).empty();
  return blank ? text.substr(0, line_start) : text;
}

// Where the text of a raw block starts, if `{% raw %}` stands here.
std::optional<size_t> Lexer::raw_body() const {
  size_t at = at_ + 2;
  if (starts_with(at, "-") || starts_with(at, "+")) ++at;
  at = skip_spaces(at);
  if (!starts_with(at, "raw")) return std::nullopt;
  at = skip_spaces(at + 3);
  if (starts_with(at, "-%}")) return skip_spaces(at + 3);
  if (starts_with(at, "%}")) return at + 2;
  return std::nullopt;
}

void Lexer::lex_data() {
  size_t tag = at_;
  while (true) {
    tag = source_.find('{', tag);
    if (tag == std::string_view::npos || tag + 1 >= source_.size()) {
      add(TokenKind::data, std::string(source_.substr(at_)));
      return advance(source_.size());
    }
    if (std::string_view("{%#").find(source_[tag + 1]) != std::string_view::npos) break;
    ++tag;
  }
  const char type = source_[tag + 1];
  const bool has_sign = starts_with(tag + 2, "-") || starts_with(tag + 2, "+");
  const char sign = has_sign ? source_[tag + 2] : '\0';
  const std::string_view text =
      before_tag(source_.substr(at_, tag - at_), sign, /*is_print=*/type == '{');
  if (!text.empty()) add(TokenKind::data, std::string(text));
  advance(tag);
  const std::optional<size_t> raw = type == '%' ? raw_body() : std::nullopt;
  if (raw) return lex_raw(*raw);
  advance(tag + (has_sign ? 3 : 2));
  line_starting_ = false;
  if (type == '#') return lex_comment();
  if (type == '{') return lex_tag(TokenKind::print_begin, TokenKind::print_end);
  lex_tag(TokenKind::block_begin, TokenKind::block_end);
}

void Lexer::lex_comment() {
  const size_t end = source_.find("#}", at_);
  if (end == std::string_view::npos) throw_syntax_error(line_, "a comment has no end");
  const char sign = end > at_ ? source_[end - 1] : '\0';
  if (sign == '-') return end_tag(skip_spaces(end + 2));
  end_tag(sign == '+' ? end + 2 : trim_newline(end + 2));
}

void Lexer::lex_raw(size_t body) {
  end_tag(body);
  for (size_t tag = source_.find("{%", at_); tag != std::string_view::npos;
       tag = source_.find("{%", tag + 1)) {
    size_t at = tag + 2;
    const char sign = starts_with(at, "-") || starts_with(at, "+") ? source_[at++] : '\0';
    at = skip_spaces(at);
    if (!starts_with(at, "endraw")) continue;
    at = skip_spaces(at + 6);
    const char end_sign = starts_with(at, "-") || starts_with(at, "+") ? source_[at++] : '\0';
    if (!starts_with(at, "%}")) continue;
    const std::string_view text =
        before_tag(source_.substr(at_, tag - at_), sign, /*is_print=*/false);
    if (!text.empty()) add(TokenKind::data, std::string(text));
    if (end_sign == '-') return end_tag(skip_spaces(at + 2));
    return end_tag(end_sign == '+' ? at + 2 : trim_newline(at + 2));
  }
  throw_syntax_error(line_, "a raw block has no endraw");
}

void Lexer::lex_tag(TokenKind begin, TokenKind end) {
  add(begin, {});
  const int start_line = line_;
  const std::string_view delimiter = end == TokenKind::print_end ? "}}" : "%}";
  brackets_.clear();
  while (at_ < source_.size()) {
    if (brackets_.empty() && lex_tag_end(end, delimiter)) return;
    const char c = source_[at_];
    if (is_space(code_point(source_, at_))) {
      advance(skip_spaces(at_));
    } else if (is_digit(c)) {
      lex_number();
    } else if (is_word(c)) {
      size_t stop = at_;
      while (stop < source_.size() && is_word(source_[stop])) ++stop;
      add(TokenKind::name, std::string(source_.substr(at_, stop - at_)));
      advance(stop);
    } else if (c == '\'' || c == '"') {
      lex_string();
    } else {
      lex_symbol();
    }
  }
  throw_syntax_error(start_line, fmt::format("a tag has no '{}'", delimiter));
}

bool Lexer::lex_tag_end(TokenKind kind, std::string_view delimiter) {
  const bool is_block = kind == TokenKind::block_end;
  const bool has_minus = starts_with(at_, "-") && starts_with(at_ + 1, delimiter);
  const bool has_plus = is_block && starts_with(at_, "+") && starts_with(at_ + 1, delimiter);
  if (!has_minus && !has_plus && !starts_with(at_, delimiter)) return false;
  add(kind, {});
  const size_t after = at_ + delimiter.size() + (has_minus || has_plus ? 1 : 0);
  if (has_minus)
    end_tag(skip_spaces(after));
  else
    end_tag(is_block && !has_plus ? trim_newline(after) : after);
  return true;
}

void Lexer::lex_string() {
  const char quote = source_[at_];
  size_t end = at_ + 1;
  while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
  if (end >= source_.size()) throw_syntax_error(line_, "a string has no closing quote");
  add(TokenKind::string, unescape(source_.substr(at_ + 1, end - at_ - 1), line_));
  advance(end + 1);
}

void Lexer::lex_number() {
  const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
  const NumberLiteral literal = read_number(source_.substr(at_), !after_dot, line_);
  tokens_.push_back({.kind = literal.is_real ? TokenKind::real : TokenKind::integer,
                     .line = line_,
                     .text = std::string(source_.substr(at_, literal.size)),
                     .integer = literal.integer,
                     .real = literal.real});
  advance(at_ + literal.size);
}

void Lexer::lex_symbol() {
  const auto* symbol = std::find_if(std::begin(kSymbols), std::end(kSymbols),
                                    [&](std::string_view s) { return starts_with(at_, s); });
  if (symbol == std::end(kSymbols))
    throw_syntax_error(line_, fmt::format("unexpected character '{}'", source_[at_]));
  const char c = symbol->front();
  if (c == '(') brackets_.push_back(')');
  if (c == '[') brackets_.push_back(']');
  if (c == '{') brackets_.push_back('}');
  if (c == ')' || c == ']' || c == '}') {
    if (brackets_.empty() || brackets_.back() != c)
      throw_syntax_error(line_, fmt::format("unexpected '{}'", c));
    brackets_.pop_back();
  }
  add(TokenKind::symbol, std::string(*symbol));
  advance(at_ + symbol->size());
}

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  const std::string text = normalize_newlines(source);
  return Lexer(text).run();
}

}  // namespace veloz::text::jinja
