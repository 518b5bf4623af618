// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/interpreter.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"

namespace veloz::text::jinja {

using Flow = Interpreter::Flow;

/// One function per kind of statement.
struct StatementRunner {
  Interpreter& interpreter;
  const ScopePtr& scope;

  Flow operator()(const TextStmt& node) const {
    interpreter.write(node.text);
    return Flow::next;
  }

  Flow operator()(const PrintStmt& node) const {
    interpreter.write(interpreter.evaluate(*node.value, scope));
    return Flow::next;
  }

  Flow operator()(const SetStmt& node) const {
    interpreter.assign(node.target, interpreter.evaluate(*node.value, scope), scope);
    return Flow::next;
  }

  Flow operator()(const SetBlockStmt& node) const {
    Value text = interpreter.capture(node.body, interpreter.new_scope(scope));
    if (node.filter) text = filtered(*node.filter, text);
    interpreter.assign(node.target, text, scope);
    return Flow::next;
  }

  Flow operator()(const IfStmt& node) const {
    for (const auto& [test, body] : node.branches)
      if (is_true(interpreter.evaluate(*test, scope))) return interpreter.run(body, scope);
    return interpreter.run(node.otherwise, scope);
  }

  Flow operator()(const ForStmt& node) const {
    const Value iterable = interpreter.evaluate(*node.iterable, scope);
    return interpreter.run_loop(node, iterate(iterable, interpreter.meter_), scope, /*depth0=*/0);
  }

  Flow operator()(const MacroStmt& node) const {
    scope->set(node.macro.name, interpreter.own(std::make_unique<MacroObject>(node.macro, scope)));
    return Flow::next;
  }

  Flow operator()(const CallBlockStmt& node) const {
    const auto& call = std::get<CallExpr>(node.call->node);
    const Value callee = interpreter.evaluate(*call.callee, scope);
    Arguments arguments = interpreter.evaluate_arguments(call.arguments, scope);
    arguments.keyword.emplace_back(
        "caller", interpreter.own(std::make_unique<MacroObject>(node.caller, scope)));
    interpreter.write(interpreter.call(callee, std::move(arguments)));
    return Flow::next;
  }

  Flow operator()(const FilterBlockStmt& node) const {
    const Value text = interpreter.capture(node.body, interpreter.new_scope(scope));
    interpreter.write(filtered(*node.filter, text));
    return Flow::next;
  }

  Flow operator()(const WithStmt& node) const {
    const ScopePtr inner = interpreter.new_scope(scope);
    for (const auto& [target, value] : node.assignments)
      interpreter.assign(target, interpreter.evaluate(*value, scope), inner);
    return interpreter.run(node.body, inner);
  }

  Flow operator()(const GenerationStmt& node) const {
    return interpreter.run(node.body, interpreter.new_scope(scope));
  }

  Flow operator()(const BreakStmt&) const { return Flow::break_loop; }
  Flow operator()(const ContinueStmt&) const { return Flow::continue_loop; }

  // A chain of filters whose first one has no input of its own.
  Value filtered(const Expr& expr, const Value& text) const {
    const auto& filter = std::get<FilterExpr>(expr.node);
    const Value input = filter.input ? filtered(*filter.input, text) : text;
    return interpreter.apply_filter(filter, input, scope);
  }
};

Flow Interpreter::run(const Body& body, const ScopePtr& scope) {
  const DepthGuard guard(meter_);
  for (const Stmt& statement : body) {
    meter_.step();
    line_ = statement.line;
    const Flow flow = std::visit(StatementRunner{*this, scope}, statement.node);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

void Interpreter::write(const Value& value) {
  if (out_ != main_out_) return append_text(value, *out_);
  // Only what reaches the prompt counts as output.
  TextBuilder text(meter_);
  append_text(value, text);
  const std::string bytes = text.take();
  meter_.output(bytes.size());
  out_->append(bytes);
}

Value Interpreter::capture(const Body& body, const ScopePtr& scope) {
  TextBuilder captured(meter_);
  TextBuilder* const outer = std::exchange(out_, &captured);
  // An error ends the rendering as a whole, so out_ need not be restored then.
  run(body, scope);
  out_ = outer;
  return captured.value();
}

void Interpreter::assign(const Target& target, const Value& value, const ScopePtr& scope) {
  if (target.attribute) {
    const Value object = look_up(target.name, scope);
    if (!object.is_object() || !object.as_object().set_attribute(*this, *target.attribute, value))
      throw_type_error(
          fmt::format("cannot assign the attribute '{}' of '{}', which is no namespace",
                      *target.attribute, target.name));
    return;
  }
  if (!target.is_tuple) return scope->set(target.name, value);
  const Value::Items items = iterate(value, meter_);
  if (value.is_undefined() || items.size() != target.items.size())
    throw_type_error(fmt::format("cannot unpack {} value(s) into {} name(s)", items.size(),
                                 target.items.size()));
  for (size_t i = 0; i < items.size(); ++i) assign(target.items[i], items[i], scope);
}

bool Interpreter::passes_test(const ForStmt& loop, const Value& item, const ScopePtr& scope) {
  const ScopePtr inner = new_scope(scope);
  assign(loop.target, item, inner);
  return is_true(evaluate(*loop.test, inner));
}

namespace {

// Ends a loop object however the loop is left: it may hold itself.
class LoopEnd {
 public:
  explicit LoopEnd(LoopObject& loop) : loop_(loop) {}
  ~LoopEnd() { loop_.finish(); }
  LoopEnd(const LoopEnd&) = delete;
  LoopEnd& operator=(const LoopEnd&) = delete;

 private:
  LoopObject& loop_;
};

}  // namespace

Flow Interpreter::run_loop(const ForStmt& loop, Value::Items items, const ScopePtr& scope,
                           int64_t depth0) {
  const DepthGuard guard(meter_);
  if (loop.test) {
    Value::Items kept;
    for (const Value& item : items)
      if (passes_test(loop, item, scope)) kept.push_back(item);
    items = std::move(kept);
  }
  const auto object = std::make_shared<LoopObject>(loop, std::move(items), scope, depth0, meter_);
  const LoopEnd end(*object);
  // As in jinja2, `else` runs unless a pass got to the end of the body.
  bool has_completed_pass = false;
  while (object->advance()) {
    meter_.step();
    const ScopePtr inner = new_scope(scope);
    inner->set("loop", Value::object(object));
    assign(loop.target, object->current(), inner);
    const Flow flow = run(loop.body, inner);
    if (flow == Flow::break_loop) break;
    if (flow == Flow::next) has_completed_pass = true;
  }
  if (has_completed_pass || !loop.has_else) return Flow::next;
  return run(loop.otherwise, new_scope(scope));
}

Value Interpreter::run_nested_loop(const ForStmt& loop, Value::Items items, const ScopePtr& scope,
                                   int64_t depth0) {
  TextBuilder captured(meter_);
  TextBuilder* const outer = std::exchange(out_, &captured);
  run_loop(loop, std::move(items), scope, depth0);
  out_ = outer;
  return captured.value();
}

}  // namespace veloz::text::jinja
