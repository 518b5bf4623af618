// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include "base/error.h"
#include "text/jinja/builtins.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"

namespace veloz::text::jinja {

Interpreter::Interpreter(const Options& options, const Variables& variables)
    : meter_(options.limits), clock_(options.clock), root_(new_scope(nullptr)) {
  for (const auto& [name, value] : variables) root_->set(name, value);
}

std::string Interpreter::render(const Body& body) {
  TextBuilder out(meter_);
  out_ = main_out_ = &out;
  try {
    // Variables of the template live beside, not among, those it was given.
    run(body, new_scope(root_));
  } catch (Error& e) {
    if (!was_raised_) e.add_context(fmt::format("chat template line {}", line_));
    throw;
  }
  return out.take();
}

void Interpreter::raise(std::string message) {
  was_raised_ = true;
  throw Error(ErrorKind::invalid_input, std::move(message),
              "the chat template of the model refuses this conversation");
}

Value Interpreter::own(std::unique_ptr<Object> object) {
  meter_.allocate(sizeof(*object) + 256);  // given back with the interpreter
  owned_.push_back(std::move(object));
  return Value::object(std::shared_ptr<Object>(std::shared_ptr<void>(), owned_.back().get()));
}

Value Interpreter::look_up(const std::string& name, const ScopePtr& scope) {
  if (const Value* value = scope->find(name)) return *value;
  if (std::optional<Value> global = find_global(name)) return *global;
  return Value::undefined(fmt::format("'{}' is undefined", name));
}

std::string describe_object(const Value& value) {
  if (value.is_none()) return "None";
  return fmt::format("{} object", type_name(value));
}

Value Interpreter::get_attribute(const Value& object, std::string_view name) {
  require_defined(object);
  if (object.is_object()) {
    if (std::optional<Value> value = object.as_object().attribute(*this, name)) return *value;
  } else if (std::optional<Value> method = find_method(object, name)) {
    return *method;
  } else if (object.is_dict()) {
    if (const Value* value = object.find(name)) return *value;
  }
  return Value::undefined(fmt::format("'{}' has no attribute '{}'", describe_object(object), name));
}

namespace {

// Of a list or a string: the item at an index that may count from the end.
std::optional<Value> item_at(const Value& object, int64_t index, Meter& meter) {
  if (object.is_string()) {
    const std::string_view text = object.as_string();
    meter.scan(text.size());
    const auto size = static_cast<int64_t>(count_code_points(text));
    if (index < 0) index += size;
    if (index < 0 || index >= size) return std::nullopt;
    const size_t at = byte_offset(text, static_cast<size_t>(index));
    return Value::string(std::string(text.substr(at, code_point_size(text, at))), &meter);
  }
  if (!object.is_sequence() || object.sequence_kind() > SequenceKind::range) return std::nullopt;
  const auto size = static_cast<int64_t>(object.items().size());
  if (index < 0) index += size;
  if (index < 0 || index >= size) return std::nullopt;
  return object.items()[static_cast<size_t>(index)];
}

}  // namespace

Value Interpreter::get_item(const Value& object, const Value& key) {
  require_defined(object);
  if (object.is_dict()) {
    if (const Value* value = object.find(key, &meter_)) return *value;
  } else if (key.is_integral()) {
    if (std::optional<Value> item = item_at(object, key.as_integer(), meter_)) return *item;
  }
  if (!key.is_string()) {
    TextBuilder shown(meter_);
    if (!key.is_object()) append_repr(key, shown);
    return Value::undefined(
        fmt::format("{} has no element {}", describe_object(object), shown.take()));
  }
  if (!object.is_dict()) return get_attribute(object, key.as_string());
  if (std::optional<Value> method = find_method(object, key.as_string())) return *method;
  return Value::undefined(
      fmt::format("'{}' has no attribute '{}'", describe_object(object), key.as_string()));
}

Value Interpreter::call(const Value& callee, Arguments arguments) {
  require_defined(callee);
  if (!callee.is_object())
    throw_type_error(fmt::format("'{}' object is not callable", type_name(callee)));
  const DepthGuard guard(meter_);
  return callee.as_object().call(*this, std::move(arguments));
}

Value Interpreter::call_filter(std::string_view name, const Value& input,
                               const Arguments& arguments) {
  meter_.step();
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) throw_unsupported(fmt::format("the filter '{}' is not supported", name));
  const DepthGuard guard(meter_);
  return filter(*this, input, arguments);
}

bool Interpreter::call_test(std::string_view name, const Value& input, const Arguments& arguments) {
  meter_.step();
  const TestFunction test = find_test(name);
  if (test == nullptr) throw_unsupported(fmt::format("the test '{}' is not supported", name));
  return test(*this, input, arguments);
}

}  // namespace veloz::text::jinja
