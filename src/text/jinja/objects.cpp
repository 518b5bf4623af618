// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/objects.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/operators.h"

namespace veloz::text::jinja {

std::optional<Value> NamespaceObject::attribute(Interpreter& interpreter, std::string_view name) {
  interpreter.meter().step(1 + static_cast<int64_t>(attributes_.size() / 8));
  for (const auto& [known, value] : attributes_)
    if (known == name) return value;
  return std::nullopt;
}

bool NamespaceObject::set_attribute(Interpreter& interpreter, const std::string& name,
                                    Value value) {
  if (!name.empty() && name.front() == '_')
    throw_type_error(fmt::format("a namespace cannot have the attribute '{}'", name));
  interpreter.meter().step(1 + static_cast<int64_t>(attributes_.size() / 8));
  for (auto& [known, held] : attributes_) {
    if (known != name) continue;
    held = std::move(value);
    return true;
  }
  charge_.grow(sizeof attributes_.front() + name.size());
  attributes_.emplace_back(name, std::move(value));
  return true;
}

std::optional<Value> MacroObject::attribute(Interpreter&, std::string_view name) {
  if (name == "name") return Value::string(definition_.name);
  return std::nullopt;
}

// Gives each keyword to its parameter, `caller` or `kwargs`.
void MacroObject::bind_keywords(Interpreter& interpreter, Arguments& arguments,
                                const ScopePtr& inner) const {
  Value caller = Value::undefined("No caller defined");
  bool has_caller_parameter = false;
  for (const Parameter& parameter : definition_.parameters)
    has_caller_parameter |= parameter.name == "caller";
  Value::Pairs kwargs;
  for (auto& [name, value] : arguments.keyword) {
    if (name == "caller" && definition_.uses_caller && !has_caller_parameter)
      caller = std::move(value);
    else if (definition_.uses_kwargs)
      kwargs.emplace_back(Value::string(name, &interpreter.meter()), std::move(value));
    else
      throw_type_error(
          fmt::format("macro '{}' takes no keyword argument '{}'", definition_.name, name));
  }
  if (definition_.uses_caller && !has_caller_parameter) inner->set("caller", std::move(caller));
  if (definition_.uses_kwargs)
    inner->set("kwargs", Value::dict(std::move(kwargs), &interpreter.meter()));
}

Value MacroObject::call(Interpreter& interpreter, Arguments arguments) {
  const ScopePtr inner = interpreter.new_scope(scope_);
  const auto& parameters = definition_.parameters;
  std::vector<Value>& positional = arguments.positional;
  std::vector<const Parameter*> missing;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto keyword =
        std::find_if(arguments.keyword.begin(), arguments.keyword.end(),
                     [&](const auto& entry) { return entry.first == parameters[i].name; });
    if (i < positional.size()) {
      inner->set(parameters[i].name, positional[i]);
    } else if (keyword != arguments.keyword.end()) {
      inner->set(parameters[i].name, std::move(keyword->second));
      arguments.keyword.erase(keyword);
    } else {
      missing.push_back(&parameters[i]);
    }
  }
  const size_t num_taken = std::min(positional.size(), parameters.size());
  if (positional.size() > num_taken && !definition_.uses_varargs)
    throw_type_error(fmt::format("macro '{}' takes not more than {} argument(s)", definition_.name,
                                 parameters.size()));
  bind_keywords(interpreter, arguments, inner);
  if (definition_.uses_varargs) {
    positional.erase(positional.begin(), positional.begin() + static_cast<ptrdiff_t>(num_taken));
    inner->set("varargs",
               Value::sequence(SequenceKind::tuple, std::move(positional), &interpreter.meter()));
  }
  for (const Parameter* parameter : missing)
    inner->set(parameter->name, parameter->default_value
                                    ? interpreter.evaluate(*parameter->default_value, inner)
                                    : Value::undefined(fmt::format(
                                          "parameter '{}' was not provided", parameter->name)));
  return interpreter.capture(definition_.body, inner);
}

std::optional<Value> LoopObject::attribute(Interpreter&, std::string_view name) {
  const auto size = static_cast<int64_t>(items_.size());
  const auto item = [&](int64_t index, const char* absent) {
    return index >= 0 && index < size ? items_[static_cast<size_t>(index)]
                                      : Value::undefined(absent);
  };
  const auto method = [&](const char* method_name, BoundFunction::Function function) {
    Value self = Value::object(shared_from_this());
    return Value::object(std::make_shared<BoundFunction>(method_name, function, std::move(self)));
  };
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "index0") return Value::integer(index0_);
  if (name == "revindex") return Value::integer(size - index0_);
  if (name == "revindex0") return Value::integer(size - index0_ - 1);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(index0_ + 1 == size);
  if (name == "length") return Value::integer(size);
  if (name == "depth") return Value::integer(depth0_ + 1);
  if (name == "depth0") return Value::integer(depth0_);
  if (name == "previtem") return item(index0_ - 1, "there is no previous item");
  if (name == "nextitem") return item(index0_ + 1, "there is no next item");
  if (name == "cycle")
    return method("cycle", [](Interpreter&, const Value& self, const Arguments& arguments) {
      return static_cast<LoopObject&>(self.as_object()).cycle(arguments);
    });
  if (name == "changed")
    return method(
        "changed", [](Interpreter& interpreter, const Value& self, const Arguments& arguments) {
          return static_cast<LoopObject&>(self.as_object()).changed(interpreter, arguments);
        });
  return std::nullopt;
}

Value LoopObject::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) throw_type_error("no items for cycling given");
  return arguments
      .positional[static_cast<size_t>(std::max<int64_t>(index0_, 0)) % arguments.positional.size()];
}

Value LoopObject::changed(Interpreter& interpreter, Arguments arguments) {
  const auto is_same = [&](const Value& a, const Value& b) {
    return equal(a, b, &interpreter.meter());
  };
  const bool is_new = !last_changed_ || !std::equal(last_changed_->begin(), last_changed_->end(),
                                                    arguments.positional.begin(),
                                                    arguments.positional.end(), is_same);
  if (is_new && !is_finished_) last_changed_ = std::move(arguments.positional);
  return Value::boolean(is_new);
}

void LoopObject::finish() {
  items_.clear();
  last_changed_.reset();
  scope_.reset();
  is_finished_ = true;
}

Value LoopObject::call(Interpreter& interpreter, Arguments arguments) {
  if (!loop_.is_recursive)
    throw_type_error("the loop must have the 'recursive' marker to be called recursively");
  if (is_finished_) throw_type_error("a loop that has ended was called");
  const BoundArguments bound("loop", arguments, {"iterable"}, 1);
  return interpreter.run_nested_loop(loop_, iterate(*bound[0], interpreter.meter()), scope_,
                                     depth0_ + 1);
}

std::optional<Value> CyclerObject::attribute(Interpreter&, std::string_view name) {
  const Value self = Value::object(std::shared_ptr<Object>(std::shared_ptr<void>(), this));
  if (name == "current") return items_[at_];
  if (name == "next")
    return Value::object(std::make_shared<BoundFunction>(
        "next",
        [](Interpreter&, const Value& object, const Arguments&) {
          return static_cast<CyclerObject&>(object.as_object()).next();
        },
        self));
  if (name == "reset")
    return Value::object(std::make_shared<BoundFunction>(
        "reset",
        [](Interpreter&, const Value& object, const Arguments&) {
          static_cast<CyclerObject&>(object.as_object()).reset();
          return Value();
        },
        self));
  return std::nullopt;
}

Value CyclerObject::next() {
  Value item = items_[at_];
  at_ = (at_ + 1) % items_.size();
  return item;
}

Value JoinerObject::call(Interpreter&, Arguments) {
  return std::exchange(was_used_, true) ? separator_ : Value::string({});
}

}  // namespace veloz::text::jinja
