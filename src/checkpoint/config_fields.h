// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/config_limits.h"

namespace veloz::checkpoint {

/// Typed, bounded access to the keys of one JSON object that a stranger wrote. A key that is absent
/// or null has no value; one of another type or outside its bounds is Error(invalid_input) naming
/// key, value and limit. The object must outlive it. Included by this room's .cpp files only.
class ConfigFields {
 public:
  explicit ConfigFields(const nlohmann::json& object) : object_(object) {}

  /// The key is there, if only as null.
  bool contains(const char* key) const { return object_.contains(key); }
  bool has(const char* key) const;
  const nlohmann::json& at(const char* key) const { return object_.at(key); }

  std::optional<int64_t> try_int(const char* key, Range<int64_t> range) const;
  int64_t get_int(const char* key, Range<int64_t> range, int64_t fallback) const;
  std::optional<double> try_float(const char* key, Range<double> range) const;
  double get_float(const char* key, Range<double> range, double fallback) const;
  std::optional<bool> try_bool(const char* key) const;
  bool get_bool(const char* key, bool fallback) const { return try_bool(key).value_or(fallback); }
  std::optional<std::string> try_string(const char* key) const;
  /// One integer or a list of them, as eos_token_id is written.
  std::vector<int64_t> get_ints(const char* key, Range<int64_t> range) const;

 private:
  const nlohmann::json& object_;
};

}  // namespace veloz::checkpoint
