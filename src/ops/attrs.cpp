// SPDX-License-Identifier: Apache-2.0
#include "ops/attrs.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/error.h"

namespace veloz::ops {
namespace {

[[noreturn]] void throw_corrupt(std::string message) {
  throw Error(ErrorKind::corrupt_data, std::move(message),
              "the graph or plan is damaged or was edited by hand; build the engine again");
}

template <typename T>
const T& get(const AttrValue* value, std::string_view name, std::string_view type) {
  if (value == nullptr) throw_corrupt(fmt::format("attribute \"{}\" is missing", name));
  const T* typed = std::get_if<T>(value);
  if (typed == nullptr)
    throw_corrupt(
        fmt::format("attribute {}={} is not {}", name, to_string(*value).substr(0, 80), type));
  return *typed;
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Reads `name=value, ...` from front to back.
class AttrParser {
 public:
  explicit AttrParser(std::string_view text) : text_(text) {}

  Attrs parse() {
    Attrs attrs;
    skip_spaces();
    if (at_end()) return attrs;
    while (true) {
      const std::string_view name = parse_name();
      expect('=');
      if (attrs.contains(name)) fail(fmt::format("\"{}\" stands there twice", name));
      attrs.set(std::string(name), parse_value());
      skip_spaces();
      if (at_end()) return attrs;
      expect(',');
    }
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw_corrupt(fmt::format("bad attributes \"{}\": {} (at character {})", text_.substr(0, 100),
                              why, position_ + 1));
  }
  bool at_end() const { return position_ == text_.size(); }
  void skip_spaces() {
    while (!at_end() && (text_[position_] == ' ' || text_[position_] == '\t')) ++position_;
  }
  void expect(char c) {
    skip_spaces();
    if (at_end() || text_[position_] != c) fail(fmt::format("'{}' is missing", c));
    ++position_;
    skip_spaces();
  }

  std::string_view parse_name() {
    const size_t begin = position_;
    while (!at_end() && is_name_char(text_[position_])) ++position_;
    const std::string_view name = text_.substr(begin, position_ - begin);
    if (name.empty() || (name[0] >= '0' && name[0] <= '9')) fail("a name is missing");
    return name;
  }

  AttrValue parse_value() {
    if (!at_end() && text_[position_] == '"') return parse_string();
    return parse_number();
  }

  AttrValue parse_number() {
    const size_t begin = position_;
    while (!at_end() && (is_name_char(text_[position_]) || text_[position_] == '.' ||
                         text_[position_] == '+' || text_[position_] == '-'))
      ++position_;
    const std::string_view token = text_.substr(begin, position_ - begin);
    const char* const end = token.data() + token.size();
    if (token.find_first_of(".en") != std::string_view::npos) {
      double value = 0;
      const auto result = std::from_chars(token.data(), end, value);
      if (result.ec == std::errc() && result.ptr == end) return value;
    } else {
      int64_t value = 0;
      const auto result = std::from_chars(token.data(), end, value);
      if (result.ec == std::errc() && result.ptr == end) return value;
    }
    fail(fmt::format("\"{}\" is neither a number nor a quoted string", token.substr(0, 40)));
  }

  std::string parse_string() {
    std::string out;
    for (++position_; !at_end(); ++position_) {
      const char c = text_[position_];
      if (c == '"') {
        ++position_;
        return out;
      }
      out += c == '\\' ? parse_escape() : c;
    }
    fail("a string has no end");
  }

  /// Stands on the backslash, ends on the escape's last character.
  char parse_escape() {
    ++position_;
    switch (at_end() ? '\0' : text_[position_]) {
      case '"':
      case '\\':
        return text_[position_];
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return parse_hex();
      default:
        fail("an unknown escape in a string");
    }
  }

  char parse_hex() {
    unsigned value = 0;
    const std::string_view digits = text_.substr(std::min(position_ + 1, text_.size()), 2);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || result.ptr != digits.data() + 2) fail("\\x needs two digits");
    position_ += 2;
    return static_cast<char>(value);
  }

  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace

Attrs::Attrs(std::initializer_list<std::pair<std::string, AttrValue>> entries) {
  for (const auto& [name, value] : entries) set(name, value);
}

void Attrs::set(std::string name, AttrValue value) {
  const auto at =
      std::ranges::lower_bound(entries_, name, {}, &std::pair<std::string, AttrValue>::first);
  if (at != entries_.end() && at->first == name)
    at->second = std::move(value);
  else
    entries_.emplace(at, std::move(name), std::move(value));
}

void Attrs::erase(std::string_view name) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.first == name; });
}

const AttrValue* Attrs::find(std::string_view name) const {
  for (const auto& [key, value] : entries_)
    if (key == name) return &value;
  return nullptr;
}

int64_t Attrs::get_int(std::string_view name) const {
  return get<int64_t>(find(name), name, "an integer");
}

double Attrs::get_float(std::string_view name) const {
  const AttrValue* value = find(name);
  if (value != nullptr)
    if (const int64_t* integer = std::get_if<int64_t>(value)) return static_cast<double>(*integer);
  return get<double>(value, name, "a number");
}

const std::string& Attrs::get_string(std::string_view name) const {
  return get<std::string>(find(name), name, "a string");
}

int64_t Attrs::get_int_or(std::string_view name, int64_t fallback) const {
  return contains(name) ? get_int(name) : fallback;
}

std::string to_string(const AttrValue& value) {
  if (const int64_t* integer = std::get_if<int64_t>(&value)) return fmt::format("{}", *integer);
  if (const std::string* text = std::get_if<std::string>(&value)) return quote(*text);
  std::string text = fmt::format("{}", std::get<double>(value));  // the shortest that reads back
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string to_string(const Attrs& attrs) {
  if (attrs.empty()) return "";
  std::string text;
  for (const auto& [name, value] : attrs.entries())
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, to_string(value));
  return " {" + text + "}";
}

Attrs parse_attrs(std::string_view text) { return AttrParser(text).parse(); }

}  // namespace veloz::ops
