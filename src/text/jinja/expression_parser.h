// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/token_stream.h"

namespace veloz::text::jinja {

/// Recursive descent over jinja2's expression grammar, loosest operator first.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  enum class Condition { allowed, not_allowed };  // `x if y else z` at the top
  ExprPtr expression(Condition condition = Condition::allowed);
  /// An expression, or several with commas as a tuple. `end_name` ends it too, as "recursive" does.
  ExprPtr tuple(Condition condition = Condition::allowed, const char* end_name = nullptr);
  /// `|name(...)|name` after `input`, which is null where a filter block starts.
  ExprPtr filters(ExprPtr input, bool is_first_name_next = false);
  Target target(bool may_be_attribute);
  Target name_target();

  /// Called with every name that is read.
  void on_name(std::function<void(const std::string&)> callback) { on_name_ = std::move(callback); }

 private:
  ExprPtr condition();
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concat();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters = true);
  ExprPtr primary();
  ExprPtr parenthesised();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr node);
  ExprPtr subscript(ExprPtr object);
  ExprPtr filters_and_tests(ExprPtr node);
  ExprPtr test(ExprPtr input);
  std::optional<CompareOp> take_compare_op();
  CallArguments call_arguments();
  void call_argument(CallArguments& arguments);
  Target single_target(bool may_be_attribute);

  template <typename Node>
  ExprPtr make(int line, Node node);

  TokenStream& tokens_;
  int nesting_ = 0;
  std::function<void(const std::string&)> on_name_;
};

}  // namespace veloz::text::jinja
