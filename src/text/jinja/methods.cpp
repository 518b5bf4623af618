// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/builtins.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"

namespace veloz::text::jinja {
namespace {

using Method = std::pair<std::string_view, MethodFunction>;

void no_arguments(const char* name, const Arguments& arguments) {
  const BoundArguments bound(name, arguments, {});
}

Value pairs_view(Interpreter& interpreter, const Value& self, SequenceKind kind) {
  Meter& meter = interpreter.meter();
  Value::Items items;
  meter.work(self.pairs().size() * sizeof(Value));
  items.reserve(self.pairs().size());
  for (const auto& [key, value] : self.pairs()) {
    if (kind == SequenceKind::dict_keys) items.push_back(key);
    if (kind == SequenceKind::dict_values) items.push_back(value);
    if (kind == SequenceKind::dict_items)
      items.push_back(Value::sequence(SequenceKind::tuple, {key, value}, &meter));
  }
  return Value::sequence(kind, std::move(items), &meter);
}

Value dict_keys(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  no_arguments("keys", arguments);
  return pairs_view(interpreter, self, SequenceKind::dict_keys);
}
Value dict_values(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  no_arguments("values", arguments);
  return pairs_view(interpreter, self, SequenceKind::dict_values);
}
Value dict_items(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  no_arguments("items", arguments);
  return pairs_view(interpreter, self, SequenceKind::dict_items);
}

Value dict_get(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("get", arguments, {"key", "default"}, 1);
  require_hashable(*bound[0]);
  if (const Value* value = self.find(*bound[0], &interpreter.meter())) return *value;
  return bound.has(1) ? *bound[1] : Value();
}

Value copy(Interpreter&, const Value& self, const Arguments& arguments) {
  no_arguments("copy", arguments);
  return self;  // immutable, so it is its own copy
}

Value sequence_index(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("index", arguments, {"value"}, 1);
  const Value::Items& items = self.items();
  const auto at = std::find_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(item, *bound[0], &interpreter.meter());
  });
  if (at == items.end()) throw_type_error("the value of index() is not in the list");
  return Value::integer(at - items.begin());
}

Value sequence_count(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("count", arguments, {"value"}, 1);
  const auto matches = [&](const Value& item) {
    return equal(item, *bound[0], &interpreter.meter());
  };
  return Value::integer(std::count_if(self.items().begin(), self.items().end(), matches));
}

constexpr Method kDictMethods[] = {
    {"copy", copy},      {"get", dict_get},       {"items", dict_items},
    {"keys", dict_keys}, {"values", dict_values},
};
constexpr Method kListMethods[] = {
    {"copy", copy}, {"count", sequence_count}, {"index", sequence_index}};
constexpr Method kTupleMethods[] = {{"count", sequence_count}, {"index", sequence_index}};

// What Python has and jinja2's immutable sandbox refuses.
constexpr std::string_view kDictMutators[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view kListMutators[] = {"append", "clear",  "extend",  "insert",
                                              "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kUnsupportedStringMethods[] = {
    "encode", "expandtabs", "format_map", "isidentifier", "isprintable", "maketrans", "translate"};

bool is_any(std::string_view name, const auto& names) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

Value unsafe(const Value& self, std::string_view name) {
  return Value::undefined(
      fmt::format("access to attribute '{}' of '{}' object is unsafe", name, type_name(self)));
}

MethodFunction method_of(const Value& self, std::string_view name) {
  if (self.is_string()) {
    if (MethodFunction method = find_string_method(name)) return method;
    if (MethodFunction method = find_string_search_method(name)) return method;
    if (is_any(name, kUnsupportedStringMethods))
      throw_unsupported(fmt::format("the string method '{}' is not supported", name));
  }
  if (self.is_dict()) return find_in_table<MethodFunction>(kDictMethods, name);
  if (!self.is_sequence()) return nullptr;
  if (self.sequence_kind() == SequenceKind::list)
    return find_in_table<MethodFunction>(kListMethods, name);
  if (self.sequence_kind() == SequenceKind::tuple && (name == "grouper" || name == "list"))
    throw_unsupported("an attribute of a group is not supported; unpack it instead");
  const bool is_tuple_like =
      self.sequence_kind() == SequenceKind::tuple || self.sequence_kind() == SequenceKind::range;
  return is_tuple_like ? find_in_table<MethodFunction>(kTupleMethods, name) : nullptr;
}

}  // namespace

std::optional<Value> find_method(const Value& self, std::string_view name) {
  if (self.is_dict() && is_any(name, kDictMutators)) return unsafe(self, name);
  const bool is_list = self.is_sequence() && self.sequence_kind() == SequenceKind::list;
  if (is_list && is_any(name, kListMutators)) return unsafe(self, name);
  if (name.substr(0, 2) == "__" && !self.is_dict()) return unsafe(self, name);
  const MethodFunction method = method_of(self, name);
  if (method == nullptr) return std::nullopt;
  return Value::object(std::make_shared<BoundFunction>(name, method, self));
}

}  // namespace veloz::text::jinja
