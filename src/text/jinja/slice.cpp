// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/slice.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"

namespace veloz::text::jinja {
namespace {

struct Range {
  int64_t start, stop, step;
};

int64_t clamp_bound(const Value& bound, int64_t absent, int64_t size, int64_t low, int64_t high) {
  if (bound.is_none()) return absent;
  if (!bound.is_integral()) throw_type_error("slice indices must be integers or None");
  int64_t index = bound.as_integer();
  if (index < 0) index += size;
  return std::clamp(index, low, high);
}

Range resolve(const Value& start, const Value& stop, const Value& step, int64_t size) {
  int64_t by = 1;
  if (!step.is_none()) {
    if (!step.is_integral()) throw_type_error("slice indices must be integers or None");
    by = step.as_integer();
  }
  if (by == 0) throw_type_error("slice step cannot be zero");
  by = std::clamp(by, -size - 1, size + 1);  // beyond, it makes no difference
  if (by > 0)
    return {clamp_bound(start, 0, size, 0, size), clamp_bound(stop, size, size, 0, size), by};
  return {clamp_bound(start, size - 1, size, -1, size - 1),
          clamp_bound(stop, -1, size, -1, size - 1), by};
}

template <typename Take>
void for_each_index(const Range& range, const Take& take) {
  for (int64_t i = range.start; range.step > 0 ? i < range.stop : i > range.stop; i += range.step)
    take(static_cast<size_t>(i));
}

Value slice_string(std::string_view text, const Value& start, const Value& stop, const Value& step,
                   Meter& meter) {
  meter.scan(text.size());
  const auto size = static_cast<int64_t>(count_code_points(text));
  const Range range = resolve(start, stop, step, size);
  if (range.step == 1) {
    if (range.start >= range.stop) return Value::string({}, &meter);
    const size_t from = byte_offset(text, static_cast<size_t>(range.start));
    const size_t length =
        byte_offset(text.substr(from), static_cast<size_t>(range.stop - range.start));
    return Value::string(std::string(text.substr(from, length)), &meter);
  }
  const Charge room(&meter, static_cast<size_t>(size) * sizeof(std::string_view));
  std::vector<std::string_view> characters;
  for (size_t at = 0; at < text.size(); at += characters.back().size())
    characters.push_back(text.substr(at, code_point_size(text, at)));
  std::string result;
  for_each_index(range, [&](size_t i) { result += characters[i]; });
  return Value::string(std::move(result), &meter);
}

}  // namespace

Value slice(const Value& object, const Value& start, const Value& stop, const Value& step,
            Meter& meter) {
  if (object.is_string()) return slice_string(object.as_string(), start, stop, step, meter);
  if (!object.is_sequence() || object.sequence_kind() > SequenceKind::range)
    throw_type_error(fmt::format("a '{}' cannot be sliced", type_name(object)));
  const Range range = resolve(start, stop, step, static_cast<int64_t>(object.items().size()));
  meter.work(object.items().size());
  Value::Items items;
  for_each_index(range, [&](size_t i) { items.push_back(object.items()[i]); });
  return Value::sequence(object.sequence_kind(), std::move(items), &meter);
}

}  // namespace veloz::text::jinja
