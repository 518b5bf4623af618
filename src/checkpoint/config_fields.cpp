// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/config_fields.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::checkpoint {
namespace {

/// The value for a message: short, whatever it is.
std::string shown(const nlohmann::json& value) {
  const std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

[[noreturn]] void refuse(const char* key, const nlohmann::json& value, const std::string& wanted) {
  throw Error(ErrorKind::invalid_input,
              fmt::format("\"{}\" is {}, it must be {}", key, shown(value), wanted),
              "check that the file is the one the model was published with");
}

int64_t checked_int(const char* key, const nlohmann::json& value, int64_t low, int64_t high) {
  const std::string wanted = fmt::format("a whole number from {} to {}", low, high);
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    refuse(key, value, wanted);
  if (!value.is_number_integer()) refuse(key, value, wanted);
  const auto number = value.get<int64_t>();
  if (number < low || number > high) refuse(key, value, wanted);
  return number;
}

}  // namespace

bool ConfigFields::has(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

std::optional<int64_t> ConfigFields::try_int(const char* key, int64_t low, int64_t high) const {
  if (!has(key)) return std::nullopt;
  return checked_int(key, object_.at(key), low, high);
}

int64_t ConfigFields::get_int(const char* key, int64_t low, int64_t high, int64_t fallback) const {
  return try_int(key, low, high).value_or(fallback);
}

std::optional<double> ConfigFields::try_float(const char* key, double low, double high) const {
  if (!has(key)) return std::nullopt;
  const nlohmann::json& value = object_.at(key);
  const double number = value.is_number() ? value.get<double>() : low - 1;
  if (!(number >= low && number <= high))
    refuse(key, value, fmt::format("a number from {} to {}", low, high));
  return number;
}

double ConfigFields::get_float(const char* key, double low, double high, double fallback) const {
  return try_float(key, low, high).value_or(fallback);
}

std::optional<bool> ConfigFields::try_bool(const char* key) const {
  if (!has(key)) return std::nullopt;
  const nlohmann::json& value = object_.at(key);
  if (!value.is_boolean()) refuse(key, value, "true or false");
  return value.get<bool>();
}

std::optional<std::string> ConfigFields::try_string(const char* key) const {
  if (!has(key)) return std::nullopt;
  const nlohmann::json& value = object_.at(key);
  if (!value.is_string()) refuse(key, value, "a string");
  return value.get<std::string>();
}

std::vector<int64_t> ConfigFields::get_ints(const char* key, int64_t low, int64_t high) const {
  if (!has(key)) return {};
  const nlohmann::json& value = object_.at(key);
  if (!value.is_array()) return {checked_int(key, value, low, high)};
  std::vector<int64_t> numbers;
  for (const nlohmann::json& item : value) numbers.push_back(checked_int(key, item, low, high));
  return numbers;
}

}  // namespace veloz::checkpoint
