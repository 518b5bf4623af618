// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "http/openai/json_writer.h"

namespace veloz::http::openai {

/// What an integer field may be, both ends included.
struct IntegerRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

/// What a number field may be. Nothing that is not finite is a number in JSON.
struct NumberRange {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
  bool excludes_min = false;
  bool excludes_max = false;
};

/// A field that is more than a number, a flag or a text: its JSON schema, and how it is read.
struct ComplexField {
  std::string_view name;
  std::string_view schema;  // JSON
  std::string_view doc;
  std::function<void(const Json&)> read;
  bool is_required = false;
};

/// Sees each field of a request once, with what it may be and what it means: one visitor reads
/// requests, another writes the OpenAPI document, so that the two agree. A field that is absent or
/// null keeps the value it has, which is its default.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void boolean(std::string_view name, bool& value, std::string_view doc) = 0;
  virtual void integer(std::string_view name, int64_t& value, IntegerRange range,
                       std::string_view doc) = 0;
  virtual void integer(std::string_view name, std::optional<int64_t>& value, IntegerRange range,
                       std::string_view doc) = 0;
  virtual void number(std::string_view name, double& value, NumberRange range,
                      std::string_view doc) = 0;
  virtual void string(std::string_view name, std::string& value, std::string_view doc) = 0;
  virtual void complex(const ComplexField& field) = 0;
  /// What clients may send and nothing is done with.
  virtual void ignored(std::string_view name, std::string_view doc) = 0;
};

/// A field that others know and that is refused, since leaving it out would change the answer.
void refuse_field(FieldVisitor& visitor, std::string_view name, std::string_view hint);

}  // namespace veloz::http::openai
