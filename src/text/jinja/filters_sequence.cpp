// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/slice.h"

namespace veloz::text::jinja {

Value without_case(const Value& value, Meter& meter) {
  if (!value.is_string()) return value;
  const Charge room(&meter, value.as_string().size() * 7);
  meter.scan(value.as_string().size());
  return Value::string(lower(value.as_string()), &meter);
}

Value get_path(Interpreter& interpreter, const Value& value, const Value& path) {
  if (path.is_none()) return value;
  if (!path.is_string()) return interpreter.get_item(value, path);
  Value item = value;
  std::string_view rest = path.as_string();
  while (true) {
    const size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view part = rest.substr(0, dot);
    const bool is_index = !part.empty() && part.size() < 10 &&
                          part.find_first_not_of("0123456789") == std::string_view::npos;
    item = interpreter.get_item(item, is_index ? Value::integer(std::stoll(std::string(part)))
                                               : Value::string(std::string(part)));
    if (dot == rest.size()) return item;
    rest.remove_prefix(dot + 1);
  }
}

FilterFunction find_filter(std::string_view name) {
  if (FilterFunction filter = find_text_filter(name)) return filter;
  if (FilterFunction filter = find_sequence_filter(name)) return filter;
  if (FilterFunction filter = find_selection_filter(name)) return filter;
  return find_number_filter(name);
}

namespace {

Value make_generator(Interpreter& interpreter, Value::Items items) {
  return Value::sequence(SequenceKind::generator, std::move(items), &interpreter.meter());
}

Value default_filter(Interpreter&, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("default", arguments, {"default_value", "boolean"});
  const bool is_absent = input.is_undefined() || (bound.boolean(1, false) && !is_true(input));
  if (!is_absent) return input;
  return bound.has(0) ? *bound[0] : Value::string({});
}

Value length_filter(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("length", arguments, {});
  if (input.is_string()) interpreter.meter().scan(input.as_string().size());
  return Value::integer(length(input));
}

Value first(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("first", arguments, {});
  const Value::Items items = iterate(input, interpreter.meter());
  if (items.empty()) return Value::undefined("No first item, sequence was empty.");
  return items.front();
}

Value last(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("last", arguments, {});
  require_defined(input);
  if (input.is_sequence() && input.sequence_kind() == SequenceKind::generator)
    throw_type_error("'generator' object is not reversible");
  const Value::Items items = iterate(input, interpreter.meter());
  if (items.empty()) return Value::undefined("No last item, sequence was empty.");
  return items.back();
}

Value list(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("list", arguments, {});
  return Value::list(iterate(input, interpreter.meter()), &interpreter.meter());
}

Value items_filter(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("items", arguments, {});
  if (input.is_undefined()) return make_generator(interpreter, {});
  if (!input.is_dict()) throw_type_error("Can only get item pairs from a mapping.");
  Value::Items items;
  for (const auto& [key, value] : input.pairs())
    items.push_back(Value::sequence(SequenceKind::tuple, {key, value}, &interpreter.meter()));
  return make_generator(interpreter, std::move(items));
}

Value reverse(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("reverse", arguments, {});
  if (input.is_string())
    return slice(input, Value(), Value(), Value::integer(-1), interpreter.meter());
  Value::Items items = iterate(input, interpreter.meter());
  std::reverse(items.begin(), items.end());
  // Only what cannot be walked backwards becomes a list.
  const bool is_list = input.is_undefined() ||
                       (input.is_sequence() && input.sequence_kind() == SequenceKind::generator);
  return is_list ? Value::list(std::move(items), &interpreter.meter())
                 : make_generator(interpreter, std::move(items));
}

// What `sort`, `min`, ... compare: the attribute, strings without case unless asked.
Value sort_key(Interpreter& interpreter, const Value& item, const Value* attribute,
               bool is_case_sensitive) {
  Value key = attribute == nullptr ? item : get_path(interpreter, item, *attribute);
  return is_case_sensitive ? key : without_case(key, interpreter.meter());
}

// For sort: "a,b" compares by several attributes.
Value multi_sort_key(Interpreter& interpreter, const Value& item, const Value* attribute,
                     bool is_case_sensitive) {
  if (attribute == nullptr || !attribute->is_string())
    return sort_key(interpreter, item, attribute, is_case_sensitive);
  Value::Items keys;
  std::string_view rest = attribute->as_string();
  while (true) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const Value name = Value::string(std::string(rest.substr(0, comma)));
    keys.push_back(sort_key(interpreter, item, &name, is_case_sensitive));
    if (comma == rest.size()) break;
    rest.remove_prefix(comma + 1);
  }
  return Value::list(std::move(keys), &interpreter.meter());
}

using Keyed = std::vector<std::pair<Value, Value>>;  // key, item

void sort_by_key(Keyed& keyed, bool is_reverse, Meter& meter) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return is_reverse ? less(b.first, a.first, meter) : less(a.first, b.first, meter);
  });
}

Value items_of(Keyed&& keyed, Interpreter& interpreter) {
  Value::Items items;
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return Value::list(std::move(items), &interpreter.meter());
}

Value sort(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  Keyed keyed;
  for (const Value& item : iterate(input, interpreter.meter()))
    keyed.emplace_back(multi_sort_key(interpreter, item, bound[2], bound.boolean(1, false)), item);
  sort_by_key(keyed, bound.boolean(0, false), interpreter.meter());
  return items_of(std::move(keyed), interpreter);
}

Value dictsort(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string_view by = bound.string(1, "key");
  if (by != "key" && by != "value")
    throw_type_error("You can only sort by either \"key\" or \"value\"");
  require_defined(input);
  if (!input.is_dict())
    throw_type_error(fmt::format("'{}' object has no attribute 'items'", type_name(input)));
  Keyed keyed;
  for (const auto& [key, value] : input.pairs())
    keyed.emplace_back(
        sort_key(interpreter, by == "key" ? key : value, nullptr, bound.boolean(0, false)),
        Value::sequence(SequenceKind::tuple, {key, value}, &interpreter.meter()));
  sort_by_key(keyed, bound.boolean(2, false), interpreter.meter());
  return items_of(std::move(keyed), interpreter);
}

Value unique(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("unique", arguments, {"case_sensitive", "attribute"});
  Value::Items kept, seen;
  for (const Value& item : iterate(input, interpreter.meter())) {
    Value key = sort_key(interpreter, item, bound[1], bound.boolean(0, false));
    require_hashable(key);
    const bool is_known = std::any_of(seen.begin(), seen.end(), [&](const Value& other) {
      return equal(other, key, &interpreter.meter());
    });
    if (is_known) continue;
    seen.push_back(std::move(key));
    kept.push_back(item);
  }
  return make_generator(interpreter, std::move(kept));
}

template <bool kIsMax>
Value extreme(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("min or max", arguments, {"case_sensitive", "attribute"});
  const Value::Items items = iterate(input, interpreter.meter());
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  Value best_key = sort_key(interpreter, items[0], bound[1], bound.boolean(0, false));
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = sort_key(interpreter, items[i], bound[1], bound.boolean(0, false));
    const bool is_better = kIsMax ? less(best_key, key, interpreter.meter())
                                  : less(key, best_key, interpreter.meter());
    if (!is_better) continue;
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

Value sum(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("sum", arguments, {"attribute", "start"});
  Value total = bound.has(1) ? *bound[1] : Value::integer(0);
  if (total.is_string()) throw_type_error("sum() can't sum strings");
  for (const Value& item : iterate(input, interpreter.meter()))
    total = arithmetic(BinaryOp::add, total,
                       bound.is_none(0) ? item : get_path(interpreter, item, *bound[0]),
                       interpreter.meter());
  return total;
}

int64_t positive_count(const BoundArguments& bound, const char* name) {
  const int64_t count = bound.integer(0, 0);
  if (count <= 0) throw_type_error(fmt::format("{} needs a positive count", name));
  return count;
}

Value batch(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const auto count = static_cast<size_t>(positive_count(bound, "batch"));
  Meter& meter = interpreter.meter();
  Value::Items batches, current;
  for (const Value& item : iterate(input, meter)) {
    if (current.size() == count) batches.push_back(Value::list(std::exchange(current, {}), &meter));
    current.push_back(item);
  }
  if (!current.empty()) {
    if (!bound.is_none(1)) {
      const size_t missing = count - current.size();
      const Charge room(&meter, std::min(missing, SIZE_MAX / sizeof(Value)) * sizeof(Value));
      current.resize(count, *bound[1]);
    }
    batches.push_back(Value::list(std::move(current), &meter));
  }
  return make_generator(interpreter, std::move(batches));
}

Value slice_filter(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("slice", arguments, {"slices", "fill_with"}, 1);
  const auto count = static_cast<size_t>(positive_count(bound, "slice"));
  Meter& meter = interpreter.meter();
  const Value::Items items = iterate(input, meter);
  const size_t num_longer = items.size() % count;
  Value::Items slices;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    meter.step();
    const size_t size = items.size() / count + (i < num_longer ? 1 : 0);
    Value::Items part(items.begin() + static_cast<ptrdiff_t>(at),
                      items.begin() + static_cast<ptrdiff_t>(at + size));
    if (!bound.is_none(1) && i >= num_longer) part.push_back(*bound[1]);
    slices.push_back(Value::list(std::move(part), &meter));
    at += size;
  }
  return make_generator(interpreter, std::move(slices));
}

Value groupby(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  Meter& meter = interpreter.meter();
  const bool is_case_sensitive = bound.boolean(2, false);
  const auto real_key = [&](const Value& item) {
    const Value key = get_path(interpreter, item, *bound[0]);
    return key.is_undefined() && !bound.is_none(1) ? *bound[1] : key;
  };
  Keyed keyed;
  for (const Value& item : iterate(input, meter)) {
    const Value key = real_key(item);
    keyed.emplace_back(is_case_sensitive ? key : without_case(key, meter), item);
  }
  sort_by_key(keyed, /*is_reverse=*/false, meter);
  Value::Items groups;
  for (size_t from = 0; from < keyed.size();) {
    Value::Items members;
    size_t to = from;
    while (to < keyed.size() && equal(keyed[from].first, keyed[to].first, &meter))
      members.push_back(keyed[to++].second);
    groups.push_back(Value::sequence(
        SequenceKind::tuple,
        {real_key(keyed[from].second), Value::list(std::move(members), &meter)}, &meter));
    from = to;
  }
  return Value::list(std::move(groups), &meter);
}

constexpr std::pair<std::string_view, FilterFunction> kFilters[] = {
    {"batch", batch},
    {"count", length_filter},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort},
    {"first", first},
    {"groupby", groupby},
    {"items", items_filter},
    {"last", last},
    {"length", length_filter},
    {"list", list},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reverse", reverse},
    {"slice", slice_filter},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

FilterFunction find_sequence_filter(std::string_view name) {
  return find_in_table<FilterFunction>(kFilters, name);
}

}  // namespace veloz::text::jinja
