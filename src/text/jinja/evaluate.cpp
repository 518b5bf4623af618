// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/slice.h"

namespace veloz::text::jinja {

/// One function per kind of expression.
struct ExpressionEvaluator {
  Interpreter& interpreter;
  const ScopePtr& scope;
  int line;

  Value evaluate(const ExprPtr& expr) const { return interpreter.evaluate(*expr, scope); }
  Meter& meter() const { return interpreter.meter_; }

  Value operator()(const ConstantExpr& node) const { return node.value; }
  Value operator()(const NameExpr& node) const { return interpreter.look_up(node.name, scope); }

  Value operator()(const ListExpr& node) const {
    Value::Items items;
    items.reserve(node.items.size());
    for (const ExprPtr& item : node.items) items.push_back(evaluate(item));
    return Value::sequence(node.kind, std::move(items), &meter());
  }

  Value operator()(const DictExpr& node) const {
    Value::Pairs pairs;
    pairs.reserve(node.pairs.size());
    for (const auto& [key_expr, value_expr] : node.pairs) {
      Value key = evaluate(key_expr);
      require_hashable(key);
      pairs.emplace_back(std::move(key), evaluate(value_expr));
    }
    return Value::dict(std::move(pairs), &meter());
  }

  Value operator()(const AttributeExpr& node) const {
    return interpreter.get_attribute(evaluate(node.object), node.name);
  }

  Value operator()(const SubscriptExpr& node) const {
    const Value object = evaluate(node.object);
    return interpreter.get_item(object, evaluate(node.index));
  }

  Value operator()(const SliceExpr& node) const {
    const auto bound = [&](const ExprPtr& expr) { return expr ? evaluate(expr) : Value(); };
    const Value object = evaluate(node.object);
    require_defined(object);
    const Value start = bound(node.start);
    const Value stop = bound(node.stop);
    return slice(object, start, stop, bound(node.step), meter());
  }

  Value operator()(const CallExpr& node) const {
    const Value callee = evaluate(node.callee);
    Arguments arguments = interpreter.evaluate_arguments(node.arguments, scope);
    interpreter.line_ = line;
    return interpreter.call(callee, std::move(arguments));
  }

  Value operator()(const FilterExpr& node) const {
    return interpreter.apply_filter(node, evaluate(node.input), scope);
  }

  Value operator()(const TestExpr& node) const {
    const Value input = evaluate(node.input);
    const Arguments arguments = interpreter.evaluate_arguments(node.arguments, scope);
    interpreter.line_ = line;
    return Value::boolean(interpreter.call_test(node.name, input, arguments));
  }

  Value operator()(const UnaryExpr& node) const { return unary(node.op, evaluate(node.operand)); }

  Value operator()(const BinaryExpr& node) const {
    Value left = evaluate(node.left);
    if (node.op == BinaryOp::logical_and) return is_true(left) ? evaluate(node.right) : left;
    if (node.op == BinaryOp::logical_or) return is_true(left) ? left : evaluate(node.right);
    const Value right = evaluate(node.right);
    interpreter.line_ = line;
    return arithmetic(node.op, left, right, meter());
  }

  Value operator()(const CompareExpr& node) const {
    Value left = evaluate(node.first);
    for (const auto& [op, expr] : node.rest) {
      Value right = evaluate(expr);
      if (!compare(op, left, right, meter())) return Value::boolean(false);
      left = std::move(right);
    }
    return Value::boolean(true);
  }

  Value operator()(const ConcatExpr& node) const {
    TextBuilder out(meter());
    for (const ExprPtr& item : node.items) append_text(evaluate(item), out);
    return out.value();
  }

  Value operator()(const ConditionExpr& node) const {
    if (is_true(evaluate(node.test))) return evaluate(node.then);
    if (node.otherwise) return evaluate(node.otherwise);
    return Value::undefined(fmt::format(
        "the inline if-expression on line {} evaluated to false and has no else section", line));
  }
};

Value Interpreter::evaluate(const Expr& expr, const ScopePtr& scope) {
  meter_.step();
  const DepthGuard guard(meter_);
  line_ = expr.line;
  return std::visit(ExpressionEvaluator{*this, scope, expr.line}, expr.node);
}

Arguments Interpreter::evaluate_arguments(const CallArguments& arguments, const ScopePtr& scope) {
  Arguments result;
  result.positional.reserve(arguments.positional.size());
  for (const ExprPtr& expr : arguments.positional)
    result.positional.push_back(evaluate(*expr, scope));
  if (arguments.splat) {
    Value::Items items = iterate(evaluate(*arguments.splat, scope), meter_);
    std::move(items.begin(), items.end(), std::back_inserter(result.positional));
  }
  for (const auto& [name, expr] : arguments.keyword)
    result.keyword.emplace_back(name, evaluate(*expr, scope));
  if (!arguments.keyword_splat) return result;
  const Value splat = evaluate(*arguments.keyword_splat, scope);
  if (!splat.is_dict()) throw_type_error("the argument after ** is no mapping");
  meter_.work(splat.pairs().size() * sizeof(Value));
  for (const auto& [key, value] : splat.pairs()) {
    if (!key.is_string()) throw_type_error("keywords must be strings");
    const std::string name(key.as_string());
    meter_.step(static_cast<int64_t>(result.keyword.size()));
    for (const auto& [other, unused] : result.keyword)
      if (other == name) throw_type_error(fmt::format("several values for keyword '{}'", name));
    result.keyword.emplace_back(name, value);
  }
  return result;
}

Value Interpreter::apply_filter(const FilterExpr& filter, const Value& input,
                                const ScopePtr& scope) {
  const Arguments arguments = evaluate_arguments(filter.arguments, scope);
  return call_filter(filter.name, input, arguments);
}

}  // namespace veloz::text::jinja
