// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/operators.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/jinja/python_text.h"

namespace veloz::text::jinja {

void throw_type_error(std::string message) {
  throw Error(ErrorKind::invalid_input, std::move(message),
              "the conversation or its tools do not have the form that the chat template expects");
}

void throw_unsupported(std::string message) {
  throw Error(ErrorKind::unsupported, std::move(message),
              "write the chat template without it, or format the prompt yourself");
}

void require_defined(const Value& value) {
  if (value.is_undefined()) throw_type_error(value.undefined_message());
}

void require_hashable(const Value& value) {
  const bool is_list = value.is_sequence() && (value.sequence_kind() == SequenceKind::list ||
                                               value.sequence_kind() == SequenceKind::dict_keys ||
                                               value.sequence_kind() == SequenceKind::dict_items);
  if (is_list || value.is_dict())
    throw_type_error(fmt::format("unhashable type: '{}'", type_name(value)));
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::real:
      return "float";
    case Kind::string:
      return "str";
    case Kind::dict:
      return "dict";
    case Kind::object:
      return value.as_object().type_name();
    case Kind::sequence:
      break;
  }
  switch (value.sequence_kind()) {
    case SequenceKind::list:
      return "list";
    case SequenceKind::tuple:
      return "tuple";
    case SequenceKind::range:
      return "range";
    case SequenceKind::dict_keys:
      return "dict_keys";
    case SequenceKind::dict_values:
      return "dict_values";
    case SequenceKind::dict_items:
      return "dict_items";
    case SequenceKind::generator:
      return "generator";
  }
  return "object";
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.as_integer() != 0;
    case Kind::real:
      return value.as_real() != 0.0;
    case Kind::string:
      return !value.as_string().empty();
    case Kind::sequence:  // a generator does not know that it is empty
      return value.sequence_kind() == SequenceKind::generator || !value.items().empty();
    case Kind::dict:
      return !value.pairs().empty();
    case Kind::object:
      return true;
  }
  return true;
}

namespace {

bool equal_sequences(const Value& left, const Value& right, Meter* meter) {
  if (left.is_same(right)) return true;
  const SequenceKind kind = left.sequence_kind();
  if (kind != right.sequence_kind() || kind == SequenceKind::generator ||
      kind == SequenceKind::dict_values)
    return false;
  const Value::Items& a = left.items();
  const Value::Items& b = right.items();
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!equal(a[i], b[i], meter)) return false;
  return true;
}

bool equal_dicts(const Value& left, const Value& right, Meter* meter) {
  if (left.is_same(right)) return true;
  if (left.pairs().size() != right.pairs().size()) return false;
  for (const auto& [key, value] : left.pairs()) {
    const Value* other = right.find(key, meter);
    if (other == nullptr || !equal(value, *other, meter)) return false;
  }
  return true;
}

}  // namespace

bool equal(const Value& left, const Value& right, Meter* meter) {
  if (meter != nullptr) meter->step();
  if (left.is_number() && right.is_number()) {
    if (left.is_integral() && right.is_integral()) return left.as_integer() == right.as_integer();
    return left.as_real() == right.as_real();
  }
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      if (meter != nullptr)
        meter->work(std::min(left.as_string().size(), right.as_string().size()));
      return left.as_string() == right.as_string();
    case Kind::sequence:
      return equal_sequences(left, right, meter);
    case Kind::dict:
      return equal_dicts(left, right, meter);
    case Kind::object:
      return left.is_same(right);
    case Kind::boolean:
    case Kind::integer:
    case Kind::real:
      break;  // handled as numbers
  }
  return false;
}

bool less(const Value& left, const Value& right, Meter& meter) {
  meter.step();
  require_defined(left);
  require_defined(right);
  if (left.is_number() && right.is_number()) {
    if (left.is_integral() && right.is_integral()) return left.as_integer() < right.as_integer();
    return left.as_real() < right.as_real();
  }
  if (left.is_string() && right.is_string()) {
    meter.work(std::min(left.as_string().size(), right.as_string().size()));
    return left.as_string() < right.as_string();  // UTF-8 sorts as its code points do
  }
  const bool ordered = left.is_sequence() && right.is_sequence() &&
                       left.sequence_kind() == right.sequence_kind() &&
                       left.sequence_kind() <= SequenceKind::tuple;
  if (!ordered)
    throw_type_error(fmt::format("'<' not supported between instances of '{}' and '{}'",
                                 type_name(left), type_name(right)));
  const Value::Items& a = left.items();
  const Value::Items& b = right.items();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (!equal(a[i], b[i], &meter)) return less(a[i], b[i], meter);
  return a.size() < b.size();
}

bool contains(const Value& haystack, const Value& needle, Meter& meter) {
  switch (haystack.kind()) {
    case Kind::undefined:
      return false;
    case Kind::string:
      if (!needle.is_string())
        throw_type_error(fmt::format("'in <string>' requires string as left operand, not {}",
                                     type_name(needle)));
      meter.work(haystack.as_string().size());
      return find_bytes(haystack.as_string(), needle.as_string()) != std::string_view::npos;
    case Kind::dict:
      require_hashable(needle);
      return haystack.find(needle, &meter) != nullptr;
    case Kind::sequence: {
      const Value::Items items = iterate(haystack, meter);
      return std::any_of(items.begin(), items.end(),
                         [&](const Value& item) { return equal(item, needle, &meter); });
    }
    case Kind::none:
    case Kind::boolean:
    case Kind::integer:
    case Kind::real:
    case Kind::object:
      break;
  }
  throw_type_error(fmt::format("argument of type '{}' is not iterable", type_name(haystack)));
}

bool compare(CompareOp op, const Value& left, const Value& right, Meter& meter) {
  switch (op) {
    case CompareOp::eq:
      return equal(left, right, &meter);
    case CompareOp::ne:
      return !equal(left, right, &meter);
    case CompareOp::lt:
      return less(left, right, meter);
    case CompareOp::gt:
      return less(right, left, meter);
    case CompareOp::le:
      return less(left, right, meter) || equal(left, right, &meter);
    case CompareOp::ge:
      return less(right, left, meter) || equal(left, right, &meter);
    case CompareOp::in:
      return contains(right, left, meter);
    case CompareOp::not_in:
      return !contains(right, left, meter);
  }
  return false;
}

Value::Items iterate(const Value& value, Meter& meter) {
  switch (value.kind()) {
    case Kind::undefined:
      return {};
    case Kind::string: {
      Value::Items items;
      const std::string_view text = value.as_string();
      for (size_t at = 0; at < text.size();) {
        const size_t size = code_point_size(text, at);
        meter.step();
        items.push_back(Value::string(std::string(text.substr(at, size)), &meter));
        at += size;
      }
      return items;
    }
    case Kind::sequence: {
      meter.work(value.items().size() * sizeof(Value));
      Value::Items items = value.items();
      value.exhaust();
      return items;
    }
    case Kind::dict: {
      Value::Items keys;
      meter.work(value.pairs().size() * sizeof(Value));
      for (const auto& [key, unused] : value.pairs()) keys.push_back(key);
      return keys;
    }
    case Kind::none:
    case Kind::boolean:
    case Kind::integer:
    case Kind::real:
    case Kind::object:
      break;
  }
  throw_type_error(fmt::format("'{}' object is not iterable", type_name(value)));
}

int64_t length(const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_string()) return static_cast<int64_t>(count_code_points(value.as_string()));
  if (value.is_dict()) return static_cast<int64_t>(value.pairs().size());
  if (value.is_sequence() && value.sequence_kind() != SequenceKind::generator)
    return static_cast<int64_t>(value.items().size());
  throw_type_error(fmt::format("object of type '{}' has no len()", type_name(value)));
}

}  // namespace veloz::text::jinja
