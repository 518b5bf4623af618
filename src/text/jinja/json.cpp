// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"

namespace veloz::text::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Meter& meter) : style_(style), out_(meter) {}
  Value finish(const Value& value) {
    write(value);
    return out_.value();
  }

 private:
  void write(const Value& value);
  void write_string(std::string_view text);
  void write_list(const Value::Items& items);
  void write_dict(const Value::Pairs& pairs);
  std::string key_text(const Value& key);
  void new_line() {
    if (!style_.indent) return;
    out_.append("\n");
    for (int i = 0; i < level_; ++i) out_.append(*style_.indent);
  }

  const JsonStyle& style_;
  TextBuilder out_;
  int level_ = 0;
};

std::string json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return real_text(value);
}

std::string escaped(char32_t c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  const auto number = static_cast<uint32_t>(c);
  if (number <= 0xFFFF) return fmt::format("\\u{:04x}", number);
  const uint32_t rest = number - 0x10000;
  return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
}

void JsonWriter::write_string(std::string_view text) {
  out_.meter().scan(text.size());
  out_.append("\"");
  size_t from = 0;  // what is not yet written
  for (size_t at = 0; at < text.size();) {
    const char32_t c = code_point(text, at);
    const size_t size = code_point_size(text, at);
    const bool is_escaped = c < 0x20 || c == '"' || c == '\\' || (style_.ensure_ascii && c >= 0x7F);
    if (is_escaped) {
      out_.append(text.substr(from, at - from));
      out_.append(escaped(c));
      from = at + size;
    }
    at += size;
  }
  out_.append(text.substr(from));
  out_.append("\"");
}

void JsonWriter::write(const Value& value) {
  out_.meter().step();
  switch (value.kind()) {
    case Kind::none:
      return out_.append("null");
    case Kind::boolean:
      return out_.append(value.as_boolean() ? "true" : "false");
    case Kind::integer:
      return out_.append(std::to_string(value.as_integer()));
    case Kind::real:
      return out_.append(json_number(value.as_real()));
    case Kind::string:
      return write_string(value.as_string());
    case Kind::dict:
      return write_dict(value.pairs());
    case Kind::sequence:
      if (value.sequence_kind() <= SequenceKind::tuple) return write_list(value.items());
      break;
    case Kind::undefined:
    case Kind::object:
      break;
  }
  throw_type_error(fmt::format("Object of type {} is not JSON serializable", type_name(value)));
}

void JsonWriter::write_list(const Value::Items& items) {
  if (items.empty()) return out_.append("[]");
  out_.append("[");
  ++level_;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out_.append(style_.item_separator);
    new_line();
    write(items[i]);
  }
  --level_;
  new_line();
  out_.append("]");
}

std::string JsonWriter::key_text(const Value& key) {
  if (key.is_string()) return std::string(key.as_string());
  if (key.is_none()) return "null";
  if (key.kind() == Kind::boolean) return key.as_boolean() ? "true" : "false";
  if (key.kind() == Kind::integer) return std::to_string(key.as_integer());
  if (key.kind() == Kind::real) return json_number(key.as_real());
  throw_type_error("keys must be str, int, float, bool or None");
}

void JsonWriter::write_dict(const Value::Pairs& pairs) {
  if (pairs.empty()) return out_.append("{}");
  std::vector<const std::pair<Value, Value>*> order;
  for (const auto& pair : pairs) order.push_back(&pair);
  if (style_.sort_keys)
    std::stable_sort(order.begin(), order.end(), [&](const auto* a, const auto* b) {
      return less(a->first, b->first, out_.meter());
    });
  out_.append("{");
  ++level_;
  bool is_first = true;
  for (const auto* pair : order) {
    if (!is_first) out_.append(style_.item_separator);
    new_line();
    write_string(key_text(pair->first));
    out_.append(style_.key_separator);
    write(pair->second);
    is_first = false;
  }
  --level_;
  new_line();
  out_.append("}");
}

constexpr size_t kMaxJsonDepth = 150;

/// Builds values as the parser meets them, so that depth and integers are checked on the way.
class ValueBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit ValueBuilder(BigIntegers big_integers) : big_integers_(big_integers) {}

  Value take() { return std::move(result_); }

  bool null() override { return add(Value()); }
  bool boolean(bool value) override { return add(Value::boolean(value)); }
  bool number_integer(int64_t value) override { return add(Value::integer(value)); }
  bool number_unsigned(uint64_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX))
      return add_big(static_cast<double>(value), std::to_string(value));
    return add(Value::integer(static_cast<int64_t>(value)));
  }
  bool number_float(double value, const std::string& text) override {
    if (text.find_first_of(".eE") == std::string::npos) return add_big(value, text);
    return add(Value::real(value));
  }
  bool string(std::string& text) override { return add(Value::string(std::move(text))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(/*is_object=*/true); }
  bool key(std::string& text) override {
    open_.back().keys.push_back(Value::string(std::move(text)));
    return true;
  }
  bool end_object() override {
    Level level = close();
    Value::Pairs pairs;
    for (size_t i = 0; i < level.items.size(); ++i)
      pairs.emplace_back(std::move(level.keys[i]), std::move(level.items[i]));
    return add(Value::dict(std::move(pairs)));
  }
  bool start_array(size_t) override { return open(/*is_object=*/false); }
  bool end_array() override { return add(Value::list(close().items)); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    throw Error(ErrorKind::invalid_input, fmt::format("this is no JSON: {}", e.what()),
                "check its quotes, commas and brackets");
  }

 private:
  struct Level {
    bool is_object = false;
    Value::Items keys, items;
  };

  bool open(bool is_object) {
    if (open_.size() >= kMaxJsonDepth)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("the JSON nests deeper than {} levels", kMaxJsonDepth),
                  "flatten the message or the tool schema");
    open_.push_back({.is_object = is_object, .keys = {}, .items = {}});
    return true;
  }
  Level close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    return level;
  }
  bool add(Value value) {
    (open_.empty() ? result_ : open_.back().items.emplace_back()) = std::move(value);
    return true;
  }
  bool add_big(double value, const std::string& text) {
    if (big_integers_ == BigIntegers::as_real) return add(Value::real(value));
    throw Error(ErrorKind::invalid_input,
                fmt::format("the integer {} does not fit 64 bits", text.substr(0, 40)),
                "pass it as a string");
  }

  BigIntegers big_integers_;
  std::vector<Level> open_;
  Value result_;
};

}  // namespace

Value to_json(const Value& value, const JsonStyle& style, Meter& meter) {
  return JsonWriter(style, meter).finish(value);
}

Value parse_json(std::string_view text, BigIntegers big_integers) {
  ValueBuilder builder(big_integers);
  nlohmann::json::sax_parse(text, &builder);
  return builder.take();
}

}  // namespace veloz::text::jinja
