// SPDX-License-Identifier: Apache-2.0
#include "http/openai/field_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "http/openai/request_error.h"
#include "text/jinja/json.h"

namespace veloz::http::openai {
namespace {

using text::jinja::Kind;

constexpr size_t kMaxShownBytes = 60;
constexpr int64_t kMaxValues = 2'000'000;

std::string_view type_of(const Json& value) {
  switch (value.kind()) {
    case Kind::none:
      return "null";
    case Kind::boolean:
      return "a boolean";
    case Kind::integer:
      return "an integer";
    case Kind::real:
      return "a number";
    case Kind::string:
      return "a string";
    case Kind::sequence:
      return "a list";
    case Kind::dict:
      return "an object";
    case Kind::undefined:
    case Kind::object:
      break;
  }
  return "a value";
}

// Cut between characters, so that the answer stays UTF-8.
std::string cut(std::string text) {
  if (text.size() <= kMaxShownBytes) return text;
  size_t end = kMaxShownBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

std::string shown(const Json& value) {
  if (value.is_sequence() || value.is_dict()) return std::string(type_of(value));
  return cut(json_text(value));
}

bool is_inside(double value, const NumberRange& range) {
  const bool above = range.excludes_min ? value > range.min : value >= range.min;
  const bool below = range.excludes_max ? value < range.max : value <= range.max;
  return above && below && std::isfinite(value);
}

std::string describe(const IntegerRange& range) {
  const bool has_min = range.min != IntegerRange{}.min;
  const bool has_max = range.max != IntegerRange{}.max;
  if (has_min && has_max) return fmt::format("an integer from {} to {}", range.min, range.max);
  if (has_min) return fmt::format("an integer of at least {}", range.min);
  if (has_max) return fmt::format("an integer of at most {}", range.max);
  return "an integer of 64 bits";
}

std::string describe(const NumberRange& range) {
  std::string text = "a number";
  if (range.min != NumberRange{}.min)
    text += fmt::format(" {} {}", range.excludes_min ? "above" : "of at least", range.min);
  if (range.max != NumberRange{}.max)
    text += fmt::format("{} {} {}", range.min != NumberRange{}.min ? " and" : "",
                        range.excludes_max ? "below" : "at most", range.max);
  return text;
}

// A value takes many times the bytes of its shortest text, so their number is bounded first. Commas
// and brackets within strings count too: a text has less of them than the limit.
void check_num_values(std::string_view body) {
  const auto count = std::count_if(body.begin(), body.end(),
                                   [](char c) { return c == ',' || c == '[' || c == '{'; });
  if (count > kMaxValues)
    throw RequestError({},
                       fmt::format("the body of the request has {} commas and brackets, the "
                                   "limit is {}",
                                   count, kMaxValues),
                       "send several requests");
}

}  // namespace

Json parse_body(std::string_view body) {
  check_num_values(body);
  Json value;
  try {
    value = text::jinja::parse_json(body, text::jinja::BigIntegers::as_real);
  } catch (const Error& e) {
    throw RequestError({}, fmt::format("the body of the request: {}", e.message()), e.hint());
  }
  if (!value.is_dict())
    throw RequestError({},
                       fmt::format("the body of the request is {}, not an object", shown(value)),
                       "send a JSON object");
  return value;
}

void refuse(std::string_view param, const Json& value, std::string_view expected) {
  throw RequestError({.param = std::string(param)},
                     fmt::format("\"{}\" is {}, it must be {}", param, shown(value), expected));
}

bool read_boolean(std::string_view param, const Json& value) {
  if (value.kind() != Kind::boolean) refuse(param, value, "true or false");
  return value.as_boolean();
}

int64_t read_integer(std::string_view param, const Json& value, IntegerRange range) {
  int64_t integer = 0;
  if (value.kind() == Kind::integer) {
    integer = value.as_integer();
  } else if (value.kind() == Kind::real && value.as_real() == std::floor(value.as_real()) &&
             std::abs(value.as_real()) < 0x1p53) {
    integer = static_cast<int64_t>(value.as_real());  // 16.0, as some clients write it
  } else {
    refuse(param, value, describe(range));
  }
  if (integer < range.min || integer > range.max) refuse(param, value, describe(range));
  return integer;
}

double read_number(std::string_view param, const Json& value, NumberRange range) {
  if (value.kind() != Kind::integer && value.kind() != Kind::real)
    refuse(param, value, describe(range));
  if (!is_inside(value.as_real(), range)) refuse(param, value, describe(range));
  return value.as_real();
}

std::string read_string(std::string_view param, const Json& value) {
  if (!value.is_string()) refuse(param, value, "a string");
  return std::string(value.as_string());
}

std::vector<std::string> read_strings(std::string_view param, const Json& value) {
  std::vector<std::string> strings;
  for (const Json& item : read_list(param, value).items())
    strings.push_back(read_string(element(param, strings.size()), item));
  return strings;
}

std::vector<int32_t> read_token_ids(std::string_view param, const Json& value) {
  constexpr IntegerRange kIds{.min = 0, .max = std::numeric_limits<int32_t>::max()};
  const Json::Items& items = read_list(param, value).items();
  std::vector<int32_t> ids;
  ids.reserve(items.size());
  for (const Json& item : items) {
    if (item.kind() != Kind::integer || item.as_integer() < kIds.min ||
        item.as_integer() > kIds.max)
      refuse(element(param, ids.size()), item, "a token id");
    ids.push_back(static_cast<int32_t>(item.as_integer()));
  }
  return ids;
}

const Json& read_object(std::string_view param, const Json& value) {
  if (!value.is_dict()) refuse(param, value, "an object");
  return value;
}

const Json& read_list(std::string_view param, const Json& value) {
  if (!value.is_sequence()) refuse(param, value, "a list");
  return value;
}

std::string element(std::string_view list, size_t index) {
  return fmt::format("{}[{}]", list, index);
}

std::string member(std::string_view object, std::string_view name) {
  return object.empty() ? std::string(name) : fmt::format("{}.{}", object, name);
}

const Json* find_field(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  return value != nullptr && !value->is_none() ? value : nullptr;
}

const Json& require_field(std::string_view object_param, const Json& object,
                          std::string_view name) {
  if (const Json* value = find_field(object, name)) return *value;
  const std::string param = member(object_param, name);
  throw RequestError({.param = param}, fmt::format("\"{}\" is missing", param));
}

std::string FieldReader::param(std::string_view name) const { return member(prefix_, name); }

void FieldReader::boolean(std::string_view name, bool& value, std::string_view) {
  if (const Json* json = find_field(object_, name)) value = read_boolean(param(name), *json);
}

void FieldReader::integer(std::string_view name, int64_t& value, IntegerRange range,
                          std::string_view) {
  if (const Json* json = find_field(object_, name)) value = read_integer(param(name), *json, range);
}

void FieldReader::integer(std::string_view name, std::optional<int64_t>& value, IntegerRange range,
                          std::string_view) {
  if (const Json* json = find_field(object_, name)) value = read_integer(param(name), *json, range);
}

void FieldReader::number(std::string_view name, double& value, NumberRange range,
                         std::string_view) {
  if (const Json* json = find_field(object_, name)) value = read_number(param(name), *json, range);
}

void FieldReader::string(std::string_view name, std::string& value, std::string_view) {
  if (const Json* json = find_field(object_, name)) value = read_string(param(name), *json);
}

void FieldReader::complex(const ComplexField& field) {
  if (field.is_required)
    field.read(require_field(prefix_, object_, field.name));
  else if (const Json* json = find_field(object_, field.name))
    field.read(*json);
}

}  // namespace veloz::http::openai
