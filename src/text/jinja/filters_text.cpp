// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/builtins.h"
#include "text/jinja/json.h"
#include "text/jinja/operators.h"

namespace veloz::text::jinja {
namespace {

// str(input), without a copy where it is a string.
Value as_text(Interpreter& interpreter, const Value& input) {
  if (input.is_string()) return input;
  return Value::string(to_text(input, interpreter.meter()), &interpreter.meter());
}

// The filter that is str(input).method(...).
template <const char* kMethod>
Value by_method(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const Value method = interpreter.get_attribute(as_text(interpreter, input), kMethod);
  return interpreter.call(method, arguments);
}

constexpr char kUpper[] = "upper";
constexpr char kLower[] = "lower";
constexpr char kCapitalize[] = "capitalize";
constexpr char kStrip[] = "strip";

Value center(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("center", arguments, {"width"});
  const Value method = interpreter.get_attribute(as_text(interpreter, input), "center");
  return interpreter.call(method, {.positional = {Value::integer(bound.integer(0, 80))}});
}

// A letter after white space or one of -({[< starts a word.
Value title_filter(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("title", arguments, {});
  const Value text = as_text(interpreter, input);
  const std::string_view all = text.as_string();
  const Charge room(&interpreter.meter(), all.size() * 7);
  interpreter.meter().scan(all.size());
  TextBuilder out(interpreter.meter());
  const auto is_break = [](char32_t c) {
    return is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) !=
                                           std::string_view::npos);
  };
  for (size_t at = 0; at < all.size();) {
    const bool is_break_run = is_break(code_point(all, at));
    size_t end = at;
    while (end < all.size() && is_break(code_point(all, end)) == is_break_run)
      end += code_point_size(all, end);
    const size_t first = code_point_size(all, at);
    out.append(upper(all.substr(at, first)));
    out.append(lower(all.substr(at + first, end - at - first)));
    at = end;
  }
  return out.value();
}

Value string_filter(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("string", arguments, {});
  return as_text(interpreter, input);
}

Value safe(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("safe", arguments, {});
  return as_text(interpreter, input);
}

Value replace(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2);
  const Value old_text = as_text(interpreter, *bound[0]);
  const Value new_text = as_text(interpreter, *bound[1]);
  const int64_t limit = bound.is_none(2) ? -1 : bound.integer(2, -1);
  return replace_text(as_text(interpreter, input).as_string(), old_text.as_string(),
                      new_text.as_string(), limit < 0 ? INT64_MAX : limit, interpreter.meter());
}

Value join(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("join", arguments, {"d", "attribute"});
  const Value separator = bound.has(0) ? as_text(interpreter, *bound[0]) : Value::string({});
  TextBuilder out(interpreter.meter());
  bool is_first = true;
  for (const Value& item : iterate(input, interpreter.meter())) {
    if (!is_first) out.append(separator.as_string());
    append_text(bound.is_none(1) ? item : get_path(interpreter, item, *bound[1]), out);
    is_first = false;
  }
  return out.value();
}

Value indent(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("indent", arguments, {"width", "first", "blank"});
  require_defined(input);
  if (!input.is_string())
    throw_type_error(fmt::format("indent takes a string, not '{}'", type_name(input)));
  Meter& meter = interpreter.meter();
  const Value indention = bound.has(0) && bound[0]->is_string()
                              ? *bound[0]
                              : arithmetic(BinaryOp::mul, Value::string(" "),
                                           Value::integer(bound.integer(0, 4)), meter);
  // The added newline makes a line of what follows the last one, which may be empty.
  const std::string with_end = std::string(input.as_string()) + "\n";
  const Charge room(&meter, with_end.size() * (1 + sizeof(std::string_view)));
  meter.scan(with_end.size());
  TextBuilder out(meter);
  bool is_first = true;
  for (const std::string_view line : split_lines(with_end)) {
    if (!is_first) out.append("\n");
    const bool is_indented =
        is_first ? bound.boolean(1, false) : !line.empty() || bound.boolean(2, false);
    if (is_indented) out.append(indention.as_string());
    out.append(line);
    is_first = false;
  }
  return out.value();
}

Value format(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  if (!arguments.keyword.empty() && !arguments.positional.empty())
    throw_type_error("format takes arguments by position or by name, not both");
  const Value text = as_text(interpreter, input);
  Value values = Value::sequence(SequenceKind::tuple, arguments.positional);
  if (!arguments.keyword.empty()) {
    Value::Pairs pairs;
    for (const auto& [name, value] : arguments.keyword)
      pairs.emplace_back(Value::string(name), value);
    values = Value::dict(std::move(pairs));
  }
  return format_percent(text, values, interpreter.meter());
}

Value escape(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("escape", arguments, {});
  const Value text = as_text(interpreter, input);
  TextBuilder out(interpreter.meter());
  for (const char c : text.as_string()) {
    if (c == '&')
      out.append("&amp;");
    else if (c == '<')
      out.append("&lt;");
    else if (c == '>')
      out.append("&gt;");
    else if (c == '"')
      out.append("&#34;");
    else if (c == '\'')
      out.append("&#39;");
    else
      out.append(std::string_view(&c, 1));
  }
  return out.value();
}

Value wordcount(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("wordcount", arguments, {});
  const Value text = as_text(interpreter, input);
  const std::string_view all = text.as_string();
  interpreter.meter().scan(all.size());
  int64_t count = 0;
  bool in_word = false;
  for (size_t at = 0; at < all.size(); at += code_point_size(all, at)) {
    const std::string_view one = all.substr(at, code_point_size(all, at));
    const Value is_word =
        interpreter.call(interpreter.get_attribute(Value::string(std::string(one)), "isalnum"), {});
    const bool is_part = is_word.as_boolean() || one == "_";
    if (is_part && !in_word) ++count;
    in_word = is_part;
  }
  return Value::integer(count);
}

Value tojson(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  const BoundArguments bound("tojson", arguments,
                             {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound.boolean(0, false);
  style.sort_keys = bound.boolean(3, false);
  if (!bound.is_none(1)) {
    const bool is_text = bound[1]->is_string();
    if (!is_text && (!bound[1]->is_integral() || bound[1]->as_integer() > kMaxJsonIndent))
      throw_type_error(
          fmt::format("indent of tojson must be a string or at most {}", kMaxJsonIndent));
    const int64_t width = is_text ? 0 : std::max<int64_t>(0, bound[1]->as_integer());
    style.indent =
        is_text ? std::string(bound[1]->as_string()) : std::string(static_cast<size_t>(width), ' ');
    style.item_separator = ",";
  }
  if (!bound.is_none(2)) {
    const Value::Items pair = iterate(*bound[2], interpreter.meter());
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
      throw_type_error("separators of tojson must be two strings");
    style.item_separator = pair[0].as_string();
    style.key_separator = pair[1].as_string();
  }
  return to_json(input, style, interpreter.meter());
}

constexpr std::pair<std::string_view, FilterFunction> kFilters[] = {
    {"capitalize", by_method<kCapitalize>},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"forceescape", escape},
    {"format", format},
    {"indent", indent},
    {"join", join},
    {"lower", by_method<kLower>},
    {"replace", replace},
    {"safe", safe},
    {"string", string_filter},
    {"title", title_filter},
    {"tojson", tojson},
    {"trim", by_method<kStrip>},
    {"upper", by_method<kUpper>},
    {"wordcount", wordcount},
};

}  // namespace

FilterFunction find_text_filter(std::string_view name) {
  return find_in_table<FilterFunction>(kFilters, name);
}

}  // namespace veloz::text::jinja
