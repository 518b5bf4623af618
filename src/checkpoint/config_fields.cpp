// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/config_fields.h"

#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

[[noreturn]] void refuse(const char* key, const nlohmann::json& value, const std::string& wanted) {
  throw Error(ErrorKind::invalid_input,
              fmt::format("\"{}\" is {}, it must be {}", key, shown(value), wanted),
              "check that the file is the one the model was published with");
}

int64_t checked_int(const char* key, const nlohmann::json& value, Range<int64_t> range) {
  const bool fits =
      value.is_number_integer() &&
      (!value.is_number_unsigned() || value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)) &&
      value.get<int64_t>() >= range.low && value.get<int64_t>() <= range.high;
  if (!fits) refuse(key, value, fmt::format("a whole number from {} to {}", range.low, range.high));
  return value.get<int64_t>();
}

}  // namespace

bool ConfigFields::has(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

std::optional<int64_t> ConfigFields::try_int(const char* key, Range<int64_t> range) const {
  if (!has(key)) return std::nullopt;
  return checked_int(key, at(key), range);
}

int64_t ConfigFields::get_int(const char* key, Range<int64_t> range, int64_t fallback) const {
  return try_int(key, range).value_or(fallback);
}

std::optional<double> ConfigFields::try_float(const char* key, Range<double> range) const {
  if (!has(key)) return std::nullopt;
  const nlohmann::json& value = at(key);
  // Written so that NaN is refused too.
  const bool fits =
      value.is_number() && value.get<double>() >= range.low && value.get<double>() <= range.high;
  if (!fits) refuse(key, value, fmt::format("a number from {} to {}", range.low, range.high));
  return value.get<double>();
}

double ConfigFields::get_float(const char* key, Range<double> range, double fallback) const {
  return try_float(key, range).value_or(fallback);
}

std::optional<bool> ConfigFields::try_bool(const char* key) const {
  if (!has(key)) return std::nullopt;
  if (!at(key).is_boolean()) refuse(key, at(key), "true or false");
  return at(key).get<bool>();
}

std::optional<std::string> ConfigFields::try_string(const char* key) const {
  if (!has(key)) return std::nullopt;
  if (!at(key).is_string()) refuse(key, at(key), "a string");
  return at(key).get<std::string>();
}

std::vector<int64_t> ConfigFields::get_ints(const char* key, Range<int64_t> range) const {
  if (!has(key)) return {};
  const nlohmann::json& value = at(key);
  if (!value.is_array()) return {checked_int(key, value, range)};
  std::vector<int64_t> numbers;
  for (const nlohmann::json& item : value) numbers.push_back(checked_int(key, item, range));
  return numbers;
}

}  // namespace veloz::checkpoint
