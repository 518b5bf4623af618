// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/interpreter.h"

namespace veloz::text::jinja {

/// `namespace(...)`: attributes that `{% set ns.x = ... %}` changes.
class NamespaceObject final : public Object {
 public:
  explicit NamespaceObject(Meter& meter) : charge_(&meter, sizeof(NamespaceObject)) {}
  std::string_view type_name() const override { return "Namespace"; }
  std::optional<Value> attribute(Interpreter& interpreter, std::string_view name) override;
  bool set_attribute(Interpreter& interpreter, const std::string& name, Value value) override;

 private:
  Charge charge_;
  std::vector<std::pair<std::string, Value>> attributes_;
};

/// A macro, or the body of a call block as `caller`, with the scope it was defined in.
class MacroObject final : public Object {
 public:
  MacroObject(const MacroDefinition& definition, ScopePtr scope)
      : definition_(definition), scope_(std::move(scope)) {}
  std::string_view type_name() const override { return "Macro"; }
  bool is_callable() const override { return true; }
  std::optional<Value> attribute(Interpreter& interpreter, std::string_view name) override;
  Value call(Interpreter& interpreter, Arguments arguments) override;

 private:
  void bind_keywords(Interpreter& interpreter, Arguments& arguments, const ScopePtr& inner) const;

  const MacroDefinition& definition_;
  ScopePtr scope_;
};

/// `loop` inside a for. Once the for has ended it is empty, so that one that was stored somewhere
/// keeps nothing alive and chains of such loops cannot grow.
class LoopObject final : public Object, public std::enable_shared_from_this<LoopObject> {
 public:
  LoopObject(const ForStmt& loop, Value::Items items, ScopePtr scope, int64_t depth0, Meter& meter)
      : charge_(&meter, sizeof(LoopObject) + items.size() * sizeof(Value)),
        loop_(loop),
        items_(std::move(items)),
        scope_(std::move(scope)),
        depth0_(depth0) {}
  std::string_view type_name() const override { return "LoopContext"; }
  bool is_callable() const override { return true; }
  std::optional<Value> attribute(Interpreter& interpreter, std::string_view name) override;
  Value call(Interpreter& interpreter, Arguments arguments) override;

  bool advance() { return ++index0_ < static_cast<int64_t>(items_.size()); }
  const Value& current() const { return items_[static_cast<size_t>(index0_)]; }
  Value cycle(const Arguments& arguments) const;
  Value changed(Interpreter& interpreter, Arguments arguments);
  void finish();

 private:
  Charge charge_;
  const ForStmt& loop_;
  Value::Items items_;
  ScopePtr scope_;
  int64_t depth0_;
  int64_t index0_ = -1;
  std::optional<Value::Items> last_changed_;
  bool is_finished_ = false;
};

/// A function of the language: a global, or a method with the value it belongs to.
class BoundFunction final : public Object {
 public:
  using Function = Value (*)(Interpreter&, const Value& self, const Arguments&);
  BoundFunction(std::string_view name, Function function, Value self)
      : name_(name), function_(function), self_(std::move(self)) {}
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  bool is_callable() const override { return true; }
  Value call(Interpreter& interpreter, Arguments arguments) override {
    return function_(interpreter, self_, arguments);
  }
  int depth() const override { return self_.depth() + 1; }

 private:
  std::string_view name_;
  Function function_;
  Value self_;
};

/// `cycler(...)`: its items in turn. Owned by the interpreter, as joiners are.
class CyclerObject final : public Object {
 public:
  explicit CyclerObject(Value::Items items) : items_(std::move(items)) {}
  std::string_view type_name() const override { return "Cycler"; }
  std::optional<Value> attribute(Interpreter& interpreter, std::string_view name) override;
  Value next();
  void reset() { at_ = 0; }

 private:
  Value::Items items_;
  size_t at_ = 0;
};

/// `joiner(sep)`: nothing the first time, the separator from then on.
class JoinerObject final : public Object {
 public:
  explicit JoinerObject(Value separator) : separator_(std::move(separator)) {}
  std::string_view type_name() const override { return "Joiner"; }
  bool is_callable() const override { return true; }
  Value call(Interpreter& interpreter, Arguments arguments) override;

 private:
  Value separator_;
  bool was_used_ = false;
};

}  // namespace veloz::text::jinja
