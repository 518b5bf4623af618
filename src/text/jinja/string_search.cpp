// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/slice.h"

namespace veloz::text::jinja {
namespace {

Value piece(Interpreter& interpreter, std::string_view text) {
  interpreter.meter().work(text.size());
  return Value::string(std::string(text), &interpreter.meter());
}

// Where `what` starts in `text`, without overlaps, at most `limit` times.
std::vector<size_t> occurrences(std::string_view text, std::string_view what, int64_t limit,
                                Meter& meter) {
  std::vector<size_t> starts;
  meter.work(text.size());
  for (size_t at = find_bytes(text, what); at != std::string_view::npos;
       at = find_bytes(text, what, at + what.size())) {
    if (static_cast<int64_t>(starts.size()) >= limit) break;
    meter.step(1 + static_cast<int64_t>(what.size() / 64));  // each search prepares `what` anew
    starts.push_back(at);
  }
  return starts;
}

// As find_bytes, for the last one.
size_t find_last(std::string_view text, std::string_view what, Meter& meter) {
  const size_t size = what.size();
  if (size > text.size()) return std::string_view::npos;
  for (size_t at = text.size() - size;; --at) {
    if (text.compare(at, size, what) == 0) return at;
    meter.step(1 + static_cast<int64_t>(size / 64));
    if (at == 0) return std::string_view::npos;
  }
}

int64_t limit_of(const BoundArguments& bound, size_t index) {
  const int64_t limit = bound.is_none(index) ? -1 : bound.integer(index, -1);
  return limit < 0 ? INT64_MAX : limit;
}

void split_at_spaces(Interpreter& interpreter, std::string_view text, int64_t limit,
                     Value::Items& items) {
  while (true) {
    text = strip(text, Side::left, std::nullopt);
    if (text.empty()) return;
    if (static_cast<int64_t>(items.size()) >= limit) break;
    size_t end = 0;
    while (end < text.size() && !is_space(code_point(text, end))) end += code_point_size(text, end);
    items.push_back(piece(interpreter, text.substr(0, end)));
    text.remove_prefix(end);
  }
  items.push_back(piece(interpreter, text));
}

void split_at_last_spaces(Interpreter& interpreter, std::string_view text, int64_t limit,
                          Value::Items& items) {
  while (true) {
    text = strip(text, Side::right, std::nullopt);
    if (text.empty()) return;
    if (static_cast<int64_t>(items.size()) >= limit) break;
    size_t start = 0;
    for (size_t at = 0; at < text.size(); at += code_point_size(text, at)) {
      interpreter.meter().step();
      if (is_space(code_point(text, at))) start = at + code_point_size(text, at);
    }
    items.push_back(piece(interpreter, text.substr(start)));
    text = text.substr(0, start);
  }
  items.push_back(piece(interpreter, text));
}

std::optional<std::string_view> separator_of(const BoundArguments& bound) {
  if (bound.is_none(0)) return std::nullopt;
  const std::string_view separator = bound.string(0, {});
  if (separator.empty()) throw_type_error("empty separator");
  return separator;
}

Value split(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("split", arguments, {"sep", "maxsplit"});
  const std::string_view text = self.as_string();
  const int64_t limit = limit_of(bound, 1);
  Value::Items items;
  if (const auto separator = separator_of(bound)) {
    size_t from = 0;
    for (const size_t at : occurrences(text, *separator, limit, interpreter.meter())) {
      items.push_back(piece(interpreter, text.substr(from, at - from)));
      from = at + separator->size();
    }
    items.push_back(piece(interpreter, text.substr(from)));
  } else {
    interpreter.meter().scan(text.size());
    split_at_spaces(interpreter, text, limit, items);
  }
  return Value::list(std::move(items), &interpreter.meter());
}

Value rsplit(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("rsplit", arguments, {"sep", "maxsplit"});
  std::string_view text = self.as_string();
  const int64_t limit = limit_of(bound, 1);
  Value::Items items;
  if (const auto separator = separator_of(bound)) {
    while (static_cast<int64_t>(items.size()) < limit) {
      const size_t at = find_last(text, *separator, interpreter.meter());
      if (at == std::string_view::npos) break;
      items.push_back(piece(interpreter, text.substr(at + separator->size())));
      text = text.substr(0, at);
    }
    items.push_back(piece(interpreter, text));
  } else {
    split_at_last_spaces(interpreter, text, limit, items);
  }
  std::reverse(items.begin(), items.end());
  return Value::list(std::move(items), &interpreter.meter());
}

Value replace(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2);
  return replace_text(self.as_string(), bound.string(0, {}), bound.string(1, {}),
                      limit_of(bound, 2), interpreter.meter());
}

// The part of a string that `start` and `end` of find and its kin name, and its byte offset.
std::pair<std::string_view, size_t> window(const Value& self, const BoundArguments& bound) {
  const std::string_view text = self.as_string();
  const auto size = static_cast<int64_t>(count_code_points(text));
  const auto place = [&](size_t index, int64_t absent) {
    int64_t at = bound.is_none(index) ? absent : bound.integer(index, absent);
    if (at < 0) at = std::max<int64_t>(0, at + size);
    return std::min(at, size + 1);
  };
  const int64_t start = place(1, 0);
  const int64_t stop = std::min(place(2, size), size);
  if (start > stop) return {std::string_view(nullptr, 0), 0};
  const size_t from = byte_offset(text, static_cast<size_t>(start));
  const size_t length = byte_offset(text.substr(from), static_cast<size_t>(stop - start));
  return {text.substr(from, length), from};
}

enum class Direction { first, last };
enum class Absent { minus_one, error };

template <Direction kDirection, Absent kAbsent>
Value find(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("find", arguments, {"sub", "start", "end"}, 1);
  const std::string_view what = bound.string(0, {});
  interpreter.meter().scan(self.as_string().size());
  const auto [text, offset] = window(self, bound);
  size_t at = std::string_view::npos;
  if (text.data() != nullptr)
    at = kDirection == Direction::first ? find_bytes(text, what)
                                        : find_last(text, what, interpreter.meter());
  if (at == std::string_view::npos) {
    if (kAbsent == Absent::error) throw_type_error("substring not found");
    return Value::integer(-1);
  }
  return Value::integer(
      static_cast<int64_t>(count_code_points(self.as_string().substr(0, offset + at))));
}

Value count(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("count", arguments, {"sub", "start", "end"}, 1);
  interpreter.meter().scan(self.as_string().size());
  const std::string_view text = window(self, bound).first;
  if (text.data() == nullptr) return Value::integer(0);
  const std::string_view what = bound.string(0, {});
  if (what.empty()) return Value::integer(static_cast<int64_t>(count_code_points(text)) + 1);
  const auto found = occurrences(text, what, INT64_MAX, interpreter.meter());
  return Value::integer(static_cast<int64_t>(found.size()));
}

template <Direction kEnd>
Value has_end(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("startswith", arguments, {"prefix", "start", "end"}, 1);
  interpreter.meter().scan(bound.has(1) ? self.as_string().size() : 0);
  const std::string_view text = bound.has(1) ? window(self, bound).first : self.as_string();
  const auto fits = [&](const Value& affix) {
    if (!affix.is_string())
      throw_type_error(
          fmt::format("startswith and endswith take a string, not '{}'", type_name(affix)));
    if (bound.has(1) && text.data() == nullptr) return false;
    return kEnd == Direction::first ? text.starts_with(affix.as_string())
                                    : text.ends_with(affix.as_string());
  };
  require_defined(*bound[0]);
  const bool is_tuple = bound[0]->is_sequence() && bound[0]->sequence_kind() == SequenceKind::tuple;
  if (!is_tuple) return Value::boolean(fits(*bound[0]));
  const Value::Items& affixes = bound[0]->items();
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), fits));
}

template <Direction kDirection>
Value partition(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("partition", arguments, {"sep"}, 1);
  const std::string_view text = self.as_string();
  const std::string_view separator = bound.string(0, {});
  if (separator.empty()) throw_type_error("empty separator");
  const size_t at = kDirection == Direction::first
                        ? find_bytes(text, separator)
                        : find_last(text, separator, interpreter.meter());
  std::string_view parts[3] = {text, {}, {}};
  if (at != std::string_view::npos) {
    parts[0] = text.substr(0, at);
    parts[1] = separator;
    parts[2] = text.substr(at + separator.size());
  } else if (kDirection == Direction::last) {
    std::swap(parts[0], parts[2]);
  }
  Value::Items items;
  for (const std::string_view part : parts) items.push_back(piece(interpreter, part));
  return Value::sequence(SequenceKind::tuple, std::move(items), &interpreter.meter());
}

constexpr std::pair<std::string_view, MethodFunction> kMethods[] = {
    {"count", count},
    {"endswith", has_end<Direction::last>},
    {"find", find<Direction::first, Absent::minus_one>},
    {"index", find<Direction::first, Absent::error>},
    {"partition", partition<Direction::first>},
    {"replace", replace},
    {"rfind", find<Direction::last, Absent::minus_one>},
    {"rindex", find<Direction::last, Absent::error>},
    {"rpartition", partition<Direction::last>},
    {"rsplit", rsplit},
    {"split", split},
    {"startswith", has_end<Direction::first>},
};

}  // namespace

Value replace_text(std::string_view text, std::string_view old_text, std::string_view new_text,
                   int64_t limit, Meter& meter) {
  TextBuilder out(meter);
  if (!old_text.empty()) {
    size_t from = 0;
    for (const size_t at : occurrences(text, old_text, limit, meter)) {
      out.append(text.substr(from, at - from));
      out.append(new_text);
      from = at + old_text.size();
    }
    out.append(text.substr(from));
    return out.value();
  }
  // Between all characters, as Python does.
  size_t at = 0;
  for (int64_t done = 0; done < limit; ++done) {
    out.append(new_text);
    if (at >= text.size()) return out.value();
    const size_t size = code_point_size(text, at);
    out.append(text.substr(at, size));
    at += size;
  }
  out.append(text.substr(at));
  return out.value();
}

MethodFunction find_string_search_method(std::string_view name) {
  return find_in_table<MethodFunction>(kMethods, name);
}

}  // namespace veloz::text::jinja
