// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/openai/fields.h"

namespace veloz::http::openai {

/// Writes the JSON schema of the object whose fields it is shown, their defaults being the values
/// they have. Null is allowed wherever a field may be left out.
class SchemaWriter final : public FieldVisitor {
 public:
  void boolean(std::string_view name, bool& value, std::string_view doc) override;
  void integer(std::string_view name, int64_t& value, IntegerRange range,
               std::string_view doc) override;
  void integer(std::string_view name, std::optional<int64_t>& value, IntegerRange range,
               std::string_view doc) override;
  void number(std::string_view name, double& value, NumberRange range,
              std::string_view doc) override;
  void string(std::string_view name, std::string& value, std::string_view doc) override;
  void complex(const ComplexField& field) override;
  void ignored(std::string_view name, std::string_view doc) override;

  /// The schema of all that was shown.
  std::string finish();

 private:
  void begin(std::string_view name, std::string_view doc);
  void begin_integer(std::string_view name, IntegerRange range, std::string_view doc);
  void end() { properties_ += '}'; }

  std::string properties_;  // without the braces around them
  std::vector<std::string> required_;
};

}  // namespace veloz::http::openai
