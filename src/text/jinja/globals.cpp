// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "text/jinja/arguments.h"
#include "text/jinja/builtins.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"
#include "text/jinja/strftime.h"

namespace veloz::text::jinja {
namespace {

Value make_range(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  const BoundArguments bound("range", arguments, {"start", "stop", "step"}, 1);
  const bool has_stop = bound.has(1);
  const int64_t start = has_stop ? bound.integer(0, 0) : 0;
  const int64_t stop = has_stop ? bound.integer(1, 0) : bound.integer(0, 0);
  const int64_t step = bound.integer(2, 1);
  if (step == 0) throw_type_error("range() step must not be zero");
  Value::Items items;
  const int64_t max_items = interpreter.meter().limits().max_range;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) >= max_items)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("range() gives more than max_range = {} items", max_items),
                  "the template loops over far more than a conversation has");
    interpreter.meter().step();
    items.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::sequence(SequenceKind::range, std::move(items), &interpreter.meter());
}

// What dict(...) and namespace(...) take: a mapping or pairs, then keywords.
Value::Pairs collect_pairs(Interpreter& interpreter, const Arguments& arguments) {
  Meter& meter = interpreter.meter();
  Value::Pairs pairs;
  if (arguments.positional.size() > 1) throw_type_error("dict expected at most 1 argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional.front();
    if (source.is_dict()) {
      meter.work(source.pairs().size() * sizeof(Value));
      pairs = source.pairs();
    } else {
      for (const Value& item : iterate(source, meter)) {
        Value::Items pair = iterate(item, meter);
        if (pair.size() != 2) throw_type_error("dict needs pairs of key and value");
        require_hashable(pair[0]);
        pairs.emplace_back(std::move(pair[0]), std::move(pair[1]));
      }
    }
  }
  for (const auto& [name, value] : arguments.keyword)
    pairs.emplace_back(Value::string(name, &meter), value);
  return pairs;
}

Value make_dict(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  return Value::dict(collect_pairs(interpreter, arguments), &interpreter.meter());
}

Value make_namespace(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  auto object = std::make_unique<NamespaceObject>(interpreter.meter());
  for (auto& [key, value] : collect_pairs(interpreter, arguments)) {
    if (!key.is_string()) throw_type_error("the attributes of a namespace are strings");
    object->set_attribute(interpreter, std::string(key.as_string()), value);
  }
  return interpreter.own(std::move(object));
}

Value raise_exception(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  const BoundArguments bound("raise_exception", arguments, {"message"}, 1);
  interpreter.raise(to_text(*bound[0], interpreter.meter()));
}

Value strftime_now(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  const BoundArguments bound("strftime_now", arguments, {"format"}, 1);
  if (!interpreter.clock()) throw_unsupported("strftime_now without a clock");
  return Value::string(format_time(bound.string(0, {}), interpreter.clock()()),
                       &interpreter.meter());
}

Value make_cycler(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.keyword.empty())
    throw_type_error("cycler needs items, by position");
  interpreter.meter().allocate(arguments.positional.size() * sizeof(Value));
  return interpreter.own(std::make_unique<CyclerObject>(arguments.positional));
}

Value make_joiner(Interpreter& interpreter, const Value&, const Arguments& arguments) {
  const BoundArguments bound("joiner", arguments, {"sep"});
  return interpreter.own(
      std::make_unique<JoinerObject>(bound.has(0) ? *bound[0] : Value::string(", ")));
}

constexpr std::pair<std::string_view, BoundFunction::Function> kGlobals[] = {
    {"cycler", make_cycler},
    {"dict", make_dict},
    {"joiner", make_joiner},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"range", make_range},
    {"strftime_now", strftime_now},
};

}  // namespace

std::optional<Value> find_global(std::string_view name) {
  const auto function = find_in_table<BoundFunction::Function>(kGlobals, name);
  if (function != nullptr)
    return Value::object(std::make_shared<BoundFunction>(name, function, Value()));
  if (name == "lipsum") throw_unsupported("the global 'lipsum' is not supported");
  return std::nullopt;
}

}  // namespace veloz::text::jinja
