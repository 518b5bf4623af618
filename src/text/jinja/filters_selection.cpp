// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "text/jinja/arguments.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"

namespace veloz::text::jinja {
namespace {

Value make_generator(Interpreter& interpreter, Value::Items items) {
  return Value::sequence(SequenceKind::generator, std::move(items), &interpreter.meter());
}

// The name that `map`, `select`, ... get at `index`, and the arguments that follow it.
std::pair<std::string, Arguments> named_call(const Arguments& arguments, size_t index) {
  const Value& name = arguments.positional[index];
  if (!name.is_string()) throw_type_error("the name of a filter or test must be a string");
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<ptrdiff_t>(index) + 1,
                         arguments.positional.end());
  rest.keyword = arguments.keyword;
  return {std::string(name.as_string()), std::move(rest)};
}

Value map_attribute(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("map", arguments, {"attribute", "default"}, 1);
  Value::Items items;
  for (const Value& item : iterate(input, interpreter.meter())) {
    Value value = get_path(interpreter, item, *bound[0]);
    if (value.is_undefined() && !bound.is_none(1)) value = *bound[1];
    items.push_back(std::move(value));
  }
  return make_generator(interpreter, std::move(items));
}

Value map(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  if (!is_true(input)) return make_generator(interpreter, {});
  if (arguments.positional.empty()) return map_attribute(interpreter, input, arguments);
  const auto [name, rest] = named_call(arguments, 0);
  Value::Items items;
  for (const Value& item : iterate(input, interpreter.meter()))
    items.push_back(interpreter.call_filter(name, item, rest));
  return make_generator(interpreter, std::move(items));
}

enum class Subject { item, attribute };
enum class Keep { passing, failing };

template <Subject kSubject, Keep kKeep>
Value select(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  if (!is_true(input)) return make_generator(interpreter, {});
  constexpr size_t kTestIdx = kSubject == Subject::attribute ? 1 : 0;
  if (arguments.positional.size() < kTestIdx)
    throw_type_error("Missing parameter for attribute name");
  const bool has_test = arguments.positional.size() > kTestIdx;
  std::pair<std::string, Arguments> test;
  if (has_test) test = named_call(arguments, kTestIdx);
  Value::Items kept;
  for (const Value& item : iterate(input, interpreter.meter())) {
    const Value subject = kSubject == Subject::attribute
                              ? get_path(interpreter, item, arguments.positional[0])
                              : item;
    const bool passes =
        has_test ? interpreter.call_test(test.first, subject, test.second) : is_true(subject);
    if (passes == (kKeep == Keep::passing)) kept.push_back(item);
  }
  return make_generator(interpreter, std::move(kept));
}

Value attr(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("attr", arguments, {"name"}, 1);
  const std::string_view name = bound.string(0, {});
  if (input.is_dict() && find_method(input, name) == std::nullopt)
    return Value::undefined(
        fmt::format("'{}' has no attribute '{}'", describe_object(input), name));
  return interpreter.get_attribute(input, name);
}

constexpr std::pair<std::string_view, FilterFunction> kFilters[] = {
    {"attr", attr},
    {"map", map},
    {"reject", select<Subject::item, Keep::failing>},
    {"rejectattr", select<Subject::attribute, Keep::failing>},
    {"select", select<Subject::item, Keep::passing>},
    {"selectattr", select<Subject::attribute, Keep::passing>},
};

}  // namespace

FilterFunction find_selection_filter(std::string_view name) {
  return find_in_table<FilterFunction>(kFilters, name);
}

}  // namespace veloz::text::jinja
