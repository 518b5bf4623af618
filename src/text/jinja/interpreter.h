// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/meter.h"
#include "text/jinja/python_text.h"
#include "text/jinja/scope.h"
#include "text/jinja/value.h"

namespace veloz::text::jinja {

class LoopObject;

/// Renders one template once, by walking its tree. Owned and used by one thread. The template and
/// the variables must outlive it.
class Interpreter {
 public:
  struct Options {
    ChatTemplateLimits limits;
    std::function<std::tm()> clock;  // for strftime_now
  };
  using Variables = std::vector<std::pair<std::string, Value>>;

  Interpreter(const Options& options, const Variables& variables);

  std::string render(const Body& body);

  Meter& meter() { return meter_; }
  const std::function<std::tm()>& clock() const { return clock_; }

  /// `object.name`: Python's attribute, then the item of that name, then undefined.
  Value get_attribute(const Value& object, std::string_view name);
  /// `object[key]`: the item, then Python's attribute, then undefined.
  Value get_item(const Value& object, const Value& key);
  Value call(const Value& callee, Arguments arguments);
  Value call_filter(std::string_view name, const Value& input, const Arguments& arguments);
  bool call_test(std::string_view name, const Value& input, const Arguments& arguments);

  /// What `raise_exception` of a template does: Error(invalid_input) with just this message.
  [[noreturn]] void raise(std::string message);
  /// Keeps a mutable object until the rendering ends, so that cycles through it are no leak.
  Value own(std::unique_ptr<Object> object);

  // For macros and loops.
  enum class Flow { next, break_loop, continue_loop };
  Flow run(const Body& body, const ScopePtr& scope);
  /// Runs `body` and returns what it wrote.
  Value capture(const Body& body, const ScopePtr& scope);
  Value evaluate(const Expr& expr, const ScopePtr& scope);
  /// The text that `loop(items)` gives in a recursive loop.
  Value run_nested_loop(const ForStmt& loop, Value::Items items, const ScopePtr& scope,
                        int64_t depth0);
  ScopePtr new_scope(const ScopePtr& parent) { return std::make_shared<Scope>(parent, meter_); }

 private:
  friend struct StatementRunner;
  friend struct ExpressionEvaluator;

  Arguments evaluate_arguments(const CallArguments& arguments, const ScopePtr& scope);
  Value look_up(const std::string& name, const ScopePtr& scope);
  Value apply_filter(const FilterExpr& filter, const Value& input, const ScopePtr& scope);
  Flow run_loop(const ForStmt& loop, Value::Items items, const ScopePtr& scope, int64_t depth0);
  bool passes_test(const ForStmt& loop, const Value& item, const ScopePtr& scope);
  void assign(const Target& target, const Value& value, const ScopePtr& scope);
  void write(const Value& value);

  Meter meter_;  // first: everything below is charged to it
  std::function<std::tm()> clock_;
  std::vector<std::unique_ptr<Object>> owned_;
  ScopePtr root_;
  TextBuilder* out_ = nullptr;
  TextBuilder* main_out_ = nullptr;
  int line_ = 1;
  bool was_raised_ = false;
};

/// Converts `name` of Python's object to what messages call it: "'dict object'".
std::string describe_object(const Value& value);

}  // namespace veloz::text::jinja
