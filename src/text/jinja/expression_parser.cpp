// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>

namespace veloz::text::jinja {
namespace {

constexpr int kMaxNesting = 100;  // brackets and prefix operators: the parser's own recursion
constexpr size_t kMaxKeywords = 255;
constexpr int kMaxTreeDepth = 200;  // also chains such as a.b.c or a + b + c: the interpreter's

int deepest(const ExprPtr& expr) { return expr ? expr->depth : 0; }
int deepest(const std::vector<ExprPtr>& exprs) {
  int depth = 0;
  for (const ExprPtr& expr : exprs) depth = std::max(depth, deepest(expr));
  return depth;
}
int deepest(const CallArguments& arguments) {
  int depth = std::max(
      {deepest(arguments.positional), deepest(arguments.splat), deepest(arguments.keyword_splat)});
  for (const auto& [name, value] : arguments.keyword) depth = std::max(depth, deepest(value));
  return depth;
}

int deepest(const ConstantExpr&) { return 0; }
int deepest(const NameExpr&) { return 0; }
int deepest(const ListExpr& node) { return deepest(node.items); }
int deepest(const DictExpr& node) {
  int depth = 0;
  for (const auto& [key, value] : node.pairs)
    depth = std::max({depth, deepest(key), deepest(value)});
  return depth;
}
int deepest(const AttributeExpr& node) { return deepest(node.object); }
int deepest(const SubscriptExpr& node) {
  return std::max(deepest(node.object), deepest(node.index));
}
int deepest(const SliceExpr& node) {
  return std::max(
      {deepest(node.object), deepest(node.start), deepest(node.stop), deepest(node.step)});
}
int deepest(const CallExpr& node) {
  return std::max(deepest(node.callee), deepest(node.arguments));
}
int deepest(const FilterExpr& node) {
  return std::max(deepest(node.input), deepest(node.arguments));
}
int deepest(const TestExpr& node) { return std::max(deepest(node.input), deepest(node.arguments)); }
int deepest(const UnaryExpr& node) { return deepest(node.operand); }
int deepest(const BinaryExpr& node) { return std::max(deepest(node.left), deepest(node.right)); }
int deepest(const CompareExpr& node) {
  int depth = deepest(node.first);
  for (const auto& [op, right] : node.rest) depth = std::max(depth, deepest(right));
  return depth;
}
int deepest(const ConcatExpr& node) { return deepest(node.items); }
int deepest(const ConditionExpr& node) {
  return std::max({deepest(node.test), deepest(node.then), deepest(node.otherwise)});
}

class NestingGuard {
 public:
  NestingGuard(int& nesting, int line) : nesting_(nesting) {
    if (++nesting_ > kMaxNesting)
      throw_syntax_error(line, fmt::format("an expression nests deeper than {}", kMaxNesting));
  }
  ~NestingGuard() { --nesting_; }
  NestingGuard(const NestingGuard&) = delete;
  NestingGuard& operator=(const NestingGuard&) = delete;

 private:
  int& nesting_;
};

}  // namespace

template <typename Node>
ExprPtr ExpressionParser::make(int line, Node node) {
  const int depth = deepest(node) + 1;
  if (depth > kMaxTreeDepth)
    throw_syntax_error(line, fmt::format("an expression nests deeper than {}", kMaxTreeDepth));
  return std::make_unique<Expr>(Expr{line, depth, std::move(node)});
}

ExprPtr ExpressionParser::expression(Condition condition_mode) {
  const NestingGuard guard(nesting_, tokens_.line());
  return condition_mode == Condition::allowed ? condition() : logical_or();
}

ExprPtr ExpressionParser::tuple(Condition condition_mode, const char* end_name) {
  const int line = tokens_.line();
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (true) {
    const bool at_end = tokens_.is(TokenKind::print_end) || tokens_.is(TokenKind::block_end) ||
                        tokens_.is_symbol(")") ||
                        (end_name != nullptr && tokens_.is_name(end_name));
    if (at_end) break;
    items.push_back(expression(condition_mode));
    if (!tokens_.skip_symbol(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return make(line, ListExpr{SequenceKind::tuple, std::move(items)});
  if (items.empty())
    throw_syntax_error(line, fmt::format("expected an expression, got {}", tokens_.describe()));
  return std::move(items.front());
}

ExprPtr ExpressionParser::condition() {
  const int line = tokens_.line();
  ExprPtr then = logical_or();
  while (tokens_.skip_name("if")) {
    ExprPtr test = logical_or();
    ExprPtr otherwise;
    if (tokens_.skip_name("else")) otherwise = expression();
    then = make(line, ConditionExpr{std::move(test), std::move(then), std::move(otherwise)});
  }
  return then;
}

ExprPtr ExpressionParser::logical_or() {
  ExprPtr left = logical_and();
  while (tokens_.skip_name("or")) {
    const int line = tokens_.line();
    ExprPtr right = logical_and();
    left = make(line, BinaryExpr{BinaryOp::logical_or, std::move(left), std::move(right)});
  }
  return left;
}

ExprPtr ExpressionParser::logical_and() {
  ExprPtr left = logical_not();
  while (tokens_.skip_name("and")) {
    const int line = tokens_.line();
    ExprPtr right = logical_not();
    left = make(line, BinaryExpr{BinaryOp::logical_and, std::move(left), std::move(right)});
  }
  return left;
}

ExprPtr ExpressionParser::logical_not() {
  const int line = tokens_.line();
  if (!tokens_.skip_name("not")) return comparison();
  const NestingGuard guard(nesting_, line);
  return make(line, UnaryExpr{UnaryOp::logical_not, logical_not()});
}

std::optional<CompareOp> ExpressionParser::take_compare_op() {
  constexpr std::pair<std::string_view, CompareOp> kOps[] = {
      {"==", CompareOp::eq}, {"!=", CompareOp::ne}, {"<", CompareOp::lt},
      {"<=", CompareOp::le}, {">", CompareOp::gt},  {">=", CompareOp::ge}};
  for (const auto& [symbol, op] : kOps)
    if (tokens_.skip_symbol(symbol)) return op;
  if (tokens_.skip_name("in")) return CompareOp::in;
  const Token& next = tokens_.look_ahead();
  if (tokens_.is_name("not") && next.kind == TokenKind::name && next.text == "in") {
    tokens_.take();
    tokens_.take();
    return CompareOp::not_in;
  }
  return std::nullopt;
}

ExprPtr ExpressionParser::comparison() {
  const int line = tokens_.line();
  ExprPtr first = sum();
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
  while (const std::optional<CompareOp> op = take_compare_op()) rest.emplace_back(*op, sum());
  if (rest.empty()) return first;
  return make(line, CompareExpr{std::move(first), std::move(rest)});
}

ExprPtr ExpressionParser::sum() {
  ExprPtr left = concat();
  while (tokens_.is_symbol("+") || tokens_.is_symbol("-")) {
    const Token op = tokens_.take();
    ExprPtr right = concat();
    left = make(op.line, BinaryExpr{op.text == "+" ? BinaryOp::add : BinaryOp::sub, std::move(left),
                                    std::move(right)});
  }
  return left;
}

ExprPtr ExpressionParser::concat() {
  const int line = tokens_.line();
  std::vector<ExprPtr> items;
  items.push_back(product());
  while (tokens_.skip_symbol("~")) items.push_back(product());
  if (items.size() == 1) return std::move(items.front());
  return make(line, ConcatExpr{std::move(items)});
}

ExprPtr ExpressionParser::product() {
  constexpr std::pair<std::string_view, BinaryOp> kOps[] = {{"*", BinaryOp::mul},
                                                            {"/", BinaryOp::div},
                                                            {"//", BinaryOp::floor_div},
                                                            {"%", BinaryOp::mod}};
  ExprPtr left = power();
  while (tokens_.is(TokenKind::symbol)) {
    const auto* op = std::find_if(std::begin(kOps), std::end(kOps), [&](const auto& entry) {
      return entry.first == tokens_.current().text;
    });
    if (op == std::end(kOps)) break;
    const int line = tokens_.take().line;
    ExprPtr right = power();
    left = make(line, BinaryExpr{op->second, std::move(left), std::move(right)});
  }
  return left;
}

// Left to right, unlike Python's: jinja2 reads 2**3**2 as 64.
ExprPtr ExpressionParser::power() {
  ExprPtr left = unary();
  while (tokens_.is_symbol("**")) {
    const int line = tokens_.take().line;
    ExprPtr right = unary();
    left = make(line, BinaryExpr{BinaryOp::pow, std::move(left), std::move(right)});
  }
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filters) {
  const NestingGuard guard(nesting_, tokens_.line());
  ExprPtr node;
  if (tokens_.is_symbol("-") || tokens_.is_symbol("+")) {
    const Token op = tokens_.take();
    ExprPtr operand = unary(/*with_filters=*/false);
    node = make(op.line,
                UnaryExpr{op.text == "-" ? UnaryOp::minus : UnaryOp::plus, std::move(operand)});
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filters_and_tests(std::move(node)) : std::move(node);
}

ExprPtr ExpressionParser::primary() {
  const int line = tokens_.line();
  if (tokens_.is_symbol("(")) return parenthesised();
  if (tokens_.is_symbol("[")) return list();
  if (tokens_.is_symbol("{")) return dict();
  if (tokens_.is(TokenKind::string)) {
    std::string text = tokens_.take().text;
    while (tokens_.is(TokenKind::string)) text += tokens_.take().text;
    return make(line, ConstantExpr{Value::string(std::move(text))});
  }
  if (tokens_.is(TokenKind::integer))
    return make(line, ConstantExpr{Value::integer(tokens_.take().integer)});
  if (tokens_.is(TokenKind::real))
    return make(line, ConstantExpr{Value::real(tokens_.take().real)});
  if (!tokens_.is(TokenKind::name))
    throw_syntax_error(line, fmt::format("unexpected {}", tokens_.describe()));
  std::string name = tokens_.take().text;
  if (name == "true" || name == "True") return make(line, ConstantExpr{Value::boolean(true)});
  if (name == "false" || name == "False") return make(line, ConstantExpr{Value::boolean(false)});
  if (name == "none" || name == "None") return make(line, ConstantExpr{Value()});
  if (on_name_) on_name_(name);
  return make(line, NameExpr{std::move(name)});
}

ExprPtr ExpressionParser::parenthesised() {
  const int line = tokens_.take().line;
  if (tokens_.skip_symbol(")")) return make(line, ListExpr{SequenceKind::tuple, {}});
  ExprPtr inner = tuple();
  tokens_.expect_symbol(")");
  return inner;
}

ExprPtr ExpressionParser::list() {
  const int line = tokens_.take().line;
  std::vector<ExprPtr> items;
  while (!tokens_.skip_symbol("]")) {
    if (!items.empty()) tokens_.expect_symbol(",");
    if (tokens_.skip_symbol("]")) break;
    items.push_back(expression());
  }
  return make(line, ListExpr{SequenceKind::list, std::move(items)});
}

ExprPtr ExpressionParser::dict() {
  const int line = tokens_.take().line;
  std::vector<std::pair<ExprPtr, ExprPtr>> pairs;
  while (!tokens_.skip_symbol("}")) {
    if (!pairs.empty()) tokens_.expect_symbol(",");
    if (tokens_.skip_symbol("}")) break;
    ExprPtr key = expression();
    tokens_.expect_symbol(":");
    pairs.emplace_back(std::move(key), expression());
  }
  return make(line, DictExpr{std::move(pairs)});
}

ExprPtr ExpressionParser::postfix(ExprPtr node) {
  while (true) {
    const int line = tokens_.line();
    if (tokens_.skip_symbol(".")) {
      if (tokens_.is(TokenKind::integer)) {
        ExprPtr index = make(line, ConstantExpr{Value::integer(tokens_.take().integer)});
        node = make(line, SubscriptExpr{std::move(node), std::move(index)});
      } else {
        node = make(line, AttributeExpr{std::move(node), tokens_.expect_name()});
      }
    } else if (tokens_.is_symbol("[")) {
      node = subscript(std::move(node));
    } else if (tokens_.is_symbol("(")) {
      node = make(line, CallExpr{std::move(node), call_arguments()});
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr object) {
  const int line = tokens_.take().line;
  const auto bound = [&]() -> ExprPtr {
    const bool absent = tokens_.is_symbol(":") || tokens_.is_symbol("]") || tokens_.is_symbol(",");
    return absent ? nullptr : expression();
  };
  if (tokens_.is_symbol("]")) throw_syntax_error(line, "expected an index, got ']'");
  ExprPtr start = bound();
  ExprPtr result;
  if (tokens_.skip_symbol(":")) {
    ExprPtr stop = bound();
    ExprPtr step = tokens_.skip_symbol(":") ? bound() : nullptr;
    result = make(line,
                  SliceExpr{std::move(object), std::move(start), std::move(stop), std::move(step)});
  } else if (start) {
    result = make(line, SubscriptExpr{std::move(object), std::move(start)});
  }
  if (tokens_.is_symbol(",")) throw_unsupported_construct(line, "an index of several items");
  tokens_.expect_symbol("]");
  return result;
}

CallArguments ExpressionParser::call_arguments() {
  CallArguments arguments;
  tokens_.expect_symbol("(");
  bool is_first = true;
  while (!tokens_.skip_symbol(")")) {
    if (!is_first) tokens_.expect_symbol(",");
    if (tokens_.skip_symbol(")")) break;
    call_argument(arguments);
    is_first = false;
  }
  return arguments;
}

void ExpressionParser::call_argument(CallArguments& arguments) {
  const int line = tokens_.line();
  const auto ensure = [&](bool is_valid) {
    if (!is_valid) throw_syntax_error(line, "an argument of a call stands in the wrong place");
  };
  if (tokens_.skip_symbol("*")) {
    ensure(!arguments.splat && !arguments.keyword_splat);
    arguments.splat = expression();
  } else if (tokens_.skip_symbol("**")) {
    ensure(!arguments.keyword_splat);
    arguments.keyword_splat = expression();
  } else if (tokens_.is(TokenKind::name) && tokens_.look_ahead().kind == TokenKind::symbol &&
             tokens_.look_ahead().text == "=") {
    ensure(!arguments.keyword_splat);
    std::string name = tokens_.take().text;
    tokens_.take();
    if (arguments.keyword.size() >= kMaxKeywords)
      throw_syntax_error(line, fmt::format("a call has more than {} keywords", kMaxKeywords));
    for (const auto& [other, value] : arguments.keyword) ensure(other != name);
    arguments.keyword.emplace_back(std::move(name), expression());
  } else {
    ensure(!arguments.splat && !arguments.keyword_splat && arguments.keyword.empty());
    arguments.positional.push_back(expression());
  }
}

ExprPtr ExpressionParser::filters(ExprPtr input, bool is_first_name_next) {
  while (is_first_name_next || tokens_.skip_symbol("|")) {
    is_first_name_next = false;
    const int line = tokens_.line();
    std::string name = tokens_.expect_name();
    while (tokens_.skip_symbol(".")) name += "." + tokens_.expect_name();
    CallArguments arguments;
    if (tokens_.is_symbol("(")) arguments = call_arguments();
    input = make(line, FilterExpr{std::move(input), std::move(name), std::move(arguments)});
  }
  return input;
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr node) {
  while (true) {
    const int line = tokens_.line();
    if (tokens_.is_symbol("|"))
      node = filters(std::move(node));
    else if (tokens_.skip_name("is"))
      node = test(std::move(node));
    else if (tokens_.is_symbol("("))
      node = make(line, CallExpr{std::move(node), call_arguments()});
    else
      return node;
  }
}

ExprPtr ExpressionParser::test(ExprPtr input) {
  const int line = tokens_.line();
  const bool is_negated = tokens_.skip_name("not");
  std::string name = tokens_.expect_name();
  CallArguments arguments;
  const bool starts_operand = tokens_.is(TokenKind::name) || tokens_.is(TokenKind::string) ||
                              tokens_.is(TokenKind::integer) || tokens_.is(TokenKind::real) ||
                              tokens_.is_symbol("[") || tokens_.is_symbol("{");
  const bool ends = tokens_.is_name("else") || tokens_.is_name("or") || tokens_.is_name("and");
  if (tokens_.is_symbol("(")) {
    arguments = call_arguments();
  } else if (starts_operand && !ends) {
    if (tokens_.is_name("is")) throw_syntax_error(line, "tests cannot be chained with 'is'");
    arguments.positional.push_back(postfix(primary()));
  }
  ExprPtr node = make(line, TestExpr{std::move(input), std::move(name), std::move(arguments)});
  if (!is_negated) return node;
  return make(line, UnaryExpr{UnaryOp::logical_not, std::move(node)});
}

Target ExpressionParser::name_target() {
  const int line = tokens_.line();
  std::string name = tokens_.expect_name();
  constexpr std::string_view kReserved[] = {"true", "false", "none", "True", "False", "None"};
  if (std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved))
    throw_syntax_error(line, fmt::format("cannot assign to '{}'", name));
  return {.name = std::move(name)};
}

Target ExpressionParser::single_target(bool may_be_attribute) {
  const NestingGuard guard(nesting_, tokens_.line());
  if (tokens_.skip_symbol("(")) {
    Target inner = target(may_be_attribute);
    tokens_.expect_symbol(")");
    return inner;
  }
  Target result = name_target();
  if (may_be_attribute && tokens_.skip_symbol(".")) result.attribute = tokens_.expect_name();
  return result;
}

Target ExpressionParser::target(bool may_be_attribute) {
  Target first = single_target(may_be_attribute);
  if (!tokens_.is_symbol(",")) return first;
  Target result{.is_tuple = true};
  result.items.push_back(std::move(first));
  while (tokens_.skip_symbol(",")) {
    const bool at_end = tokens_.is_symbol(")") || tokens_.is_symbol("=") || tokens_.is_name("in") ||
                        tokens_.is(TokenKind::block_end);
    if (at_end) break;
    result.items.push_back(single_target(may_be_attribute));
  }
  return result;
}

}  // namespace veloz::text::jinja
