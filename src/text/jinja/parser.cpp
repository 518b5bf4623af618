// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/expression_parser.h"
#include "text/jinja/token_stream.h"

namespace veloz::text::jinja {
namespace {

constexpr int kMaxBlockNesting = 60;

// Jinja's own tags and extensions beyond the subset; anything else is no tag at all.
constexpr std::string_view kUnsupportedTags[] = {"include", "import",     "from", "extends",
                                                 "block",   "autoescape", "do",   "trans",
                                                 "debug",   "pluralize"};

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)), expressions_(tokens_) {
    expressions_.on_name([this](const std::string& name) { note_name(name); });
  }

  Body run() {
    Body body = statements({});
    if (!tokens_.is(TokenKind::end)) unknown_tag();
    return body;
  }

 private:
  // What a macro's body reads decides which of these it takes.
  struct MacroUse {
    bool caller = false, varargs = false, kwargs = false;
  };

  void note_name(const std::string& name) {
    for (MacroUse& macro : macros_) {
      if (name == "caller") macro.caller = true;
      if (name == "varargs") macro.varargs = true;
      if (name == "kwargs") macro.kwargs = true;
    }
  }

  Body statements(std::initializer_list<std::string_view> end_tags);
  Body block_body(std::string_view tag, std::initializer_list<std::string_view> end_tags);
  Stmt statement();
  Stmt set_statement(int line);
  Stmt if_statement(int line);
  Stmt for_statement(int line);
  Stmt macro_statement(int line);
  Stmt call_statement(int line);
  Stmt filter_statement(int line);
  Stmt with_statement(int line);
  Stmt loop_control(int line, const std::string& name);
  void print_items(int line, Body& body);
  void signature(MacroDefinition& macro);
  void macro_body(MacroDefinition& macro, std::string_view tag, std::string_view end_tag);
  [[noreturn]] void unknown_tag();
  void end_tag() { tokens_.take(); }

  TokenStream tokens_;
  ExpressionParser expressions_;
  std::vector<MacroUse> macros_;
  std::vector<std::pair<std::string, int>> open_tags_;  // name and line
  int loop_depth_ = 0;                                  // of the innermost macro
};

/// Parses until a tag named in `end_tags`, which stays current, or to the end.
Body Parser::statements(std::initializer_list<std::string_view> end_tags) {
  Body body;
  while (!tokens_.is(TokenKind::end)) {
    const int line = tokens_.line();
    if (tokens_.is(TokenKind::data)) {
      body.push_back({line, TextStmt{Value::string(tokens_.take().text)}});
      continue;
    }
    if (tokens_.is(TokenKind::print_begin)) {
      tokens_.take();
      body.push_back({line, PrintStmt{expressions_.tuple()}});
      tokens_.expect(TokenKind::print_end, "'}}'");
      continue;
    }
    tokens_.expect(TokenKind::block_begin, "a tag");
    const bool at_end = std::any_of(end_tags.begin(), end_tags.end(),
                                    [&](std::string_view tag) { return tokens_.is_name(tag); });
    if (at_end) return body;
    if (tokens_.is_name("print"))
      print_items(line, body);
    else
      body.push_back(statement());
    tokens_.expect(TokenKind::block_end, "'%}'");
  }
  return body;
}

/// From behind the opening tag to the name of the closing one, which stays current.
Body Parser::block_body(std::string_view tag, std::initializer_list<std::string_view> end_tags) {
  const int line = tokens_.line();
  tokens_.skip_symbol(":");
  tokens_.expect(TokenKind::block_end, "'%}'");
  if (open_tags_.size() >= kMaxBlockNesting)
    throw_syntax_error(line, fmt::format("tags nest deeper than {}", kMaxBlockNesting));
  open_tags_.emplace_back(tag, line);
  Body body = statements(end_tags);
  if (tokens_.is(TokenKind::end))
    throw_syntax_error(line, fmt::format("the tag '{}' is not closed", tag));
  open_tags_.pop_back();
  return body;
}

void Parser::unknown_tag() {
  const std::string name = tokens_.current().text;
  const int line = tokens_.line();
  if (std::find(std::begin(kUnsupportedTags), std::end(kUnsupportedTags), name) !=
      std::end(kUnsupportedTags))
    throw_unsupported_construct(line, fmt::format("the tag '{}'", name));
  std::string what = fmt::format("unknown tag '{}'", name);
  if (!open_tags_.empty())
    what +=
        fmt::format(" inside '{}' of line {}", open_tags_.back().first, open_tags_.back().second);
  throw_syntax_error(line, what);
}

Stmt Parser::statement() {
  const int line = tokens_.line();
  if (!tokens_.is(TokenKind::name))
    throw_syntax_error(line, fmt::format("expected a tag name, got {}", tokens_.describe()));
  const std::string& name = tokens_.current().text;
  if (name == "set") return set_statement(line);
  if (name == "if") return if_statement(line);
  if (name == "for") return for_statement(line);
  if (name == "macro") return macro_statement(line);
  if (name == "call") return call_statement(line);
  if (name == "filter") return filter_statement(line);
  if (name == "with") return with_statement(line);
  if (name == "break" || name == "continue") return loop_control(line, tokens_.take().text);
  if (name != "generation") unknown_tag();
  tokens_.take();
  const int outer_loops = std::exchange(loop_depth_, 0);
  GenerationStmt generation{block_body("generation", {"endgeneration"})};
  loop_depth_ = outer_loops;
  end_tag();
  return {line, std::move(generation)};
}

void Parser::print_items(int line, Body& body) {
  tokens_.take();
  for (bool is_first = true; !tokens_.is(TokenKind::block_end); is_first = false) {
    if (!is_first) tokens_.expect_symbol(",");
    body.push_back({line, PrintStmt{expressions_.expression()}});
  }
}

Stmt Parser::set_statement(int line) {
  tokens_.take();
  Target target = expressions_.target(/*may_be_attribute=*/true);
  if (tokens_.skip_symbol("=")) return {line, SetStmt{std::move(target), expressions_.tuple()}};
  SetBlockStmt block;
  block.target = std::move(target);
  if (tokens_.is_symbol("|")) block.filter = expressions_.filters(nullptr);
  block.body = block_body("set", {"endset"});
  end_tag();
  return {line, std::move(block)};
}

Stmt Parser::if_statement(int line) {
  IfStmt result;
  do {
    tokens_.take();  // if, elif
    ExprPtr test = expressions_.tuple(ExpressionParser::Condition::not_allowed);
    Body body = block_body("if", {"elif", "else", "endif"});
    result.branches.emplace_back(std::move(test), std::move(body));
  } while (tokens_.is_name("elif"));
  if (tokens_.skip_name("else")) result.otherwise = block_body("if", {"endif"});
  end_tag();
  return {line, std::move(result)};
}

Stmt Parser::for_statement(int line) {
  tokens_.take();
  ForStmt result;
  result.target = expressions_.target(/*may_be_attribute=*/false);
  if (!tokens_.skip_name("in"))
    throw_syntax_error(line, fmt::format("expected 'in', got {}", tokens_.describe()));
  result.iterable = expressions_.tuple(ExpressionParser::Condition::not_allowed, "recursive");
  if (tokens_.skip_name("if")) result.test = expressions_.expression();
  result.is_recursive = tokens_.skip_name("recursive");
  // A recursive body is a function of its own in jinja2, yet it may break out of its own loop.
  ++loop_depth_;
  result.body = block_body("for", {"endfor", "else"});
  --loop_depth_;
  if (tokens_.skip_name("else")) {
    result.has_else = true;
    result.otherwise = block_body("for", {"endfor"});
  }
  end_tag();
  return {line, std::move(result)};
}

Stmt Parser::loop_control(int line, const std::string& name) {
  if (loop_depth_ == 0) throw_syntax_error(line, fmt::format("'{}' stands outside a loop", name));
  if (name == "break") return {line, BreakStmt{}};
  return {line, ContinueStmt{}};
}

void Parser::signature(MacroDefinition& macro) {
  tokens_.expect_symbol("(");
  bool has_default = false;
  while (!tokens_.skip_symbol(")")) {
    const int line = tokens_.line();
    if (!macro.parameters.empty()) tokens_.expect_symbol(",");
    Parameter parameter{expressions_.name_target().name, nullptr};
    if (tokens_.skip_symbol("=")) {
      parameter.default_value = expressions_.expression();
      has_default = true;
    } else if (has_default) {
      throw_syntax_error(line, fmt::format("parameter '{}' without a default follows one with it",
                                           parameter.name));
    }
    macro.parameters.push_back(std::move(parameter));
  }
}

void Parser::macro_body(MacroDefinition& macro, std::string_view tag, std::string_view closing) {
  macros_.emplace_back();
  const int outer_loops = std::exchange(loop_depth_, 0);
  macro.body = block_body(tag, {closing});
  loop_depth_ = outer_loops;
  macro.uses_caller = macros_.back().caller;
  macro.uses_varargs = macros_.back().varargs;
  macro.uses_kwargs = macros_.back().kwargs;
  macros_.pop_back();
  end_tag();
}

Stmt Parser::macro_statement(int line) {
  tokens_.take();
  MacroStmt result;
  result.macro.name = expressions_.name_target().name;
  signature(result.macro);
  macro_body(result.macro, "macro", "endmacro");
  return {line, std::move(result)};
}

Stmt Parser::call_statement(int line) {
  tokens_.take();
  CallBlockStmt result;
  result.caller.name = "caller";
  if (tokens_.is_symbol("(")) signature(result.caller);
  result.call = expressions_.expression();
  if (!std::holds_alternative<CallExpr>(result.call->node))
    throw_syntax_error(line, "the tag 'call' needs a call");
  macro_body(result.caller, "call", "endcall");
  return {line, std::move(result)};
}

Stmt Parser::filter_statement(int line) {
  tokens_.take();
  FilterBlockStmt result;
  result.filter = expressions_.filters(nullptr, /*is_first_name_next=*/true);
  result.body = block_body("filter", {"endfilter"});
  end_tag();
  return {line, std::move(result)};
}

Stmt Parser::with_statement(int line) {
  tokens_.take();
  WithStmt result;
  while (!tokens_.is(TokenKind::block_end)) {
    if (!result.assignments.empty()) tokens_.expect_symbol(",");
    Target target = expressions_.target(/*may_be_attribute=*/false);
    tokens_.expect_symbol("=");
    result.assignments.emplace_back(std::move(target), expressions_.expression());
  }
  result.body = block_body("with", {"endwith"});
  end_tag();
  return {line, std::move(result)};
}

}  // namespace

Body parse_template(std::string_view source) { return Parser(source).run(); }

}  // namespace veloz::text::jinja
