// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "text/jinja/interpreter.h"
#include "text/jinja/value.h"

namespace veloz::text::jinja {

// What the language offers by name; each is one sorted table in its file.

using FilterFunction = Value (*)(Interpreter&, const Value& input, const Arguments&);
using TestFunction = bool (*)(Interpreter&, const Value& input, const Arguments&);

/// Null where there is no such filter or test.
FilterFunction find_filter(std::string_view name);
FilterFunction find_text_filter(std::string_view name);
FilterFunction find_number_filter(std::string_view name);
FilterFunction find_sequence_filter(std::string_view name);
FilterFunction find_selection_filter(std::string_view name);
TestFunction find_test(std::string_view name);

/// The method `name` of Python's str, dict, list or tuple, bound to `self`; undefined for those
/// that would change it, nothing where the type has none. Error(unsupported) for one beyond the
/// subset.
std::optional<Value> find_method(const Value& self, std::string_view name);
using MethodFunction = Value (*)(Interpreter&, const Value& self, const Arguments&);
MethodFunction find_string_method(std::string_view name);
MethodFunction find_string_search_method(std::string_view name);

/// range, namespace, dict, ...; nothing where there is no such global.
std::optional<Value> find_global(std::string_view name);

/// What `attribute=` of a filter names: "a.b.0" is a path; integers index.
Value get_path(Interpreter& interpreter, const Value& value, const Value& path);
/// A string in lower case; anything else as it is.
Value without_case(const Value& value, Meter& meter);

/// The function of a table of {name, function} entries; null where there is none.
template <typename Function, typename Table>
Function find_in_table(const Table& table, std::string_view name) {
  for (const auto& entry : table)
    if (entry.first == name) return entry.second;
  return nullptr;
}

}  // namespace veloz::text::jinja
