// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/openai/fields.h"

namespace veloz::http::openai {

/// The object that a request's body is. Throws RequestError for what is no JSON (lone surrogates,
/// NaN and bytes that are no UTF-8 included), nests too deep, or is no object.
Json parse_body(std::string_view body);

// Typed looks at a JSON value; each throws RequestError that names the parameter, the value and
// what it should have been.

[[noreturn]] void refuse(std::string_view param, const Json& value, std::string_view expected);
bool read_boolean(std::string_view param, const Json& value);
int64_t read_integer(std::string_view param, const Json& value, IntegerRange range = {});
double read_number(std::string_view param, const Json& value, NumberRange range = {});
std::string read_string(std::string_view param, const Json& value);
std::vector<std::string> read_strings(std::string_view param, const Json& value);
/// A list of token ids. Whether the vocabulary has them is the executor's business.
std::vector<int32_t> read_token_ids(std::string_view param, const Json& value);
const Json& read_object(std::string_view param, const Json& value);
const Json& read_list(std::string_view param, const Json& value);
/// "messages[2].content"
std::string element(std::string_view list, size_t index);
std::string member(std::string_view object, std::string_view name);
/// The member of an object; null where it is absent or null.
const Json* find_field(const Json& object, std::string_view name);
/// Throws where it is absent or null.
const Json& require_field(std::string_view object_param, const Json& object, std::string_view name);

/// Reads the fields it is shown from one JSON object. Fields that nobody asks for are left alone:
/// clients send new ones.
class FieldReader final : public FieldVisitor {
 public:
  /// `prefix` is the object's own name, "" for a body.
  explicit FieldReader(const Json& object, std::string prefix = {})
      : object_(object), prefix_(std::move(prefix)) {}

  void boolean(std::string_view name, bool& value, std::string_view doc) override;
  void integer(std::string_view name, int64_t& value, IntegerRange range,
               std::string_view doc) override;
  void integer(std::string_view name, std::optional<int64_t>& value, IntegerRange range,
               std::string_view doc) override;
  void number(std::string_view name, double& value, NumberRange range,
              std::string_view doc) override;
  void string(std::string_view name, std::string& value, std::string_view doc) override;
  void complex(const ComplexField& field) override;
  void ignored(std::string_view, std::string_view) override {}

 private:
  std::string param(std::string_view name) const;

  const Json& object_;
  std::string prefix_;
};

}  // namespace veloz::http::openai
