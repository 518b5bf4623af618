// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace veloz::http::openai {

/// A JSON value as it was sent, its keys in order: what requests are read as, and what chat
/// templates take.
using Json = text::jinja::Value;

/// `text`, which is UTF-8, between quotes. Answers are built a token at a time, so this is a loop
/// over bytes and no tree of values.
void append_json_string(std::string& out, std::string_view text);
/// The shortest digits that give the same number; what JSON cannot say is null.
void append_json_number(std::string& out, double value);
void append_json_number(std::string& out, float value);
void append_json_number(std::string& out, int64_t value);
/// A value that came from JSON, on one line.
void append_json(std::string& out, const Json& value);
std::string json_text(const Json& value);

/// Writes one JSON text front to back, with the commas that belong in it.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(int64_t number);
  JsonWriter& value(int32_t number) { return value(int64_t{number}); }
  JsonWriter& value(double number);
  JsonWriter& value(float number);
  JsonWriter& value(bool flag);
  JsonWriter& value(const Json& json);
  JsonWriter& null();
  /// A JSON text as it is.
  JsonWriter& raw(std::string_view json);
  template <typename T>
  JsonWriter& field(std::string_view name, const T& field_value) {
    return key(name).value(field_value);
  }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();

  std::string& out_;
  bool needs_comma_ = false;
};

}  // namespace veloz::http::openai
