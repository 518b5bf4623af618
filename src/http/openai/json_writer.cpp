// SPDX-License-Identifier: Apache-2.0
#include "http/openai/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace veloz::http::openai {
namespace {

// What stands behind a backslash for a byte: 0 where it stands for itself, 'u' for a code.
constexpr std::array<char, 256> make_escapes() {
  std::array<char, 256> escapes{};
  for (size_t c = 0; c < 0x20; ++c) escapes[c] = 'u';
  escapes['\n'] = 'n';
  escapes['\r'] = 'r';
  escapes['\t'] = 't';
  escapes['\b'] = 'b';
  escapes['\f'] = 'f';
  escapes['"'] = '"';
  escapes['\\'] = '\\';
  escapes[0x7F] = 'u';
  return escapes;
}
constexpr std::array<char, 256> kEscapes = make_escapes();
constexpr char kHexDigits[] = "0123456789abcdef";

template <typename T>
void append_chars(std::string& out, T value) {
  std::array<char, 32> digits;
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), result.ptr);
}

template <typename T>
void append_real(std::string& out, T value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  const size_t start = out.size();
  append_chars(out, value);
  // Clients in typed languages read "1" as an integer.
  if (out.find_first_of(".e", start) == std::string::npos) out += ".0";
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  size_t start = 0;  // of the bytes that stand for themselves
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const char escape = kEscapes[byte];
    if (escape == 0) continue;
    out.append(text, start, i - start);
    start = i + 1;
    out += '\\';
    out += escape;
    if (escape != 'u') continue;
    out += "00";
    out += kHexDigits[byte >> 4];
    out += kHexDigits[byte & 15];
  }
  out.append(text, start, text.size() - start);
  out += '"';
}

void append_json_number(std::string& out, double value) { append_real(out, value); }
void append_json_number(std::string& out, float value) { append_real(out, value); }
void append_json_number(std::string& out, int64_t value) { append_chars(out, value); }

void append_json(std::string& out, const Json& value) {
  JsonWriter writer(out);
  writer.value(value);
}

std::string json_text(const Json& value) {
  std::string out;
  append_json(out, value);
  return out;
}

void JsonWriter::separate() {
  if (needs_comma_) out_ += ',';
  needs_comma_ = true;
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  out_ += bracket;
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  needs_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  append_json_string(out_, name);
  out_ += ':';
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  separate();
  append_json_string(out_, text);
  return *this;
}

JsonWriter& JsonWriter::value(int64_t number) {
  separate();
  append_json_number(out_, number);
  return *this;
}

JsonWriter& JsonWriter::value(double number) {
  separate();
  append_json_number(out_, number);
  return *this;
}

JsonWriter& JsonWriter::value(float number) {
  separate();
  append_json_number(out_, number);
  return *this;
}

JsonWriter& JsonWriter::value(bool flag) { return raw(flag ? "true" : "false"); }
JsonWriter& JsonWriter::null() { return raw("null"); }

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

JsonWriter& JsonWriter::value(const Json& json) {
  using text::jinja::Kind;
  switch (json.kind()) {
    case Kind::none:
      return null();
    case Kind::boolean:
      return value(json.as_boolean());
    case Kind::integer:
      return value(json.as_integer());
    case Kind::real:
      return value(json.as_real());
    case Kind::string:
      return value(json.as_string());
    case Kind::sequence:
      begin_array();
      for (const Json& item : json.items()) value(item);
      return end_array();
    case Kind::dict:
      begin_object();
      for (const auto& [name, item] : json.pairs()) key(name.as_string()).value(item);
      return end_object();
    case Kind::undefined:
    case Kind::object:
      break;
  }
  throw Error(ErrorKind::internal, "a value of a chat template is no JSON");
}

}  // namespace veloz::http::openai
