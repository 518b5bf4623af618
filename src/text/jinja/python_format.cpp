// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"

namespace veloz::text::jinja {
namespace {

constexpr int kMaxWidth = 10'000;  // of one field

struct Conversion {
  bool left_align = false, plus = false, space = false, zero = false, alternate = false;
  int width = 0;
  int precision = -1;  // as printf: absent
  char type = 0;
};

/// Reads `%...` of a format; the key of `%(key)s` is given apart.
class PercentReader {
 public:
  explicit PercentReader(std::string_view format) : format_(format) {}

  bool done() const { return at_ >= format_.size(); }
  std::string_view literal() {
    const size_t end = std::min(format_.find('%', at_), format_.size());
    const std::string_view text = format_.substr(at_, end - at_);
    at_ = end;
    return text;
  }
  Conversion conversion(std::optional<std::string>& key) {
    ++at_;  // the percent sign
    Conversion result;
    if (take('(')) {
      const size_t close = format_.find(')', at_);
      if (close == std::string_view::npos) throw_type_error("incomplete format key");
      key = std::string(format_.substr(at_, close - at_));
      at_ = close + 1;
    }
    while (read_flag(result)) {
    }
    result.width = number();
    if (take('.')) result.precision = number();
    if (done()) throw_type_error("incomplete format");
    result.type = format_[at_++];
    return result;
  }

 private:
  bool take(char c) {
    if (done() || format_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool read_flag(Conversion& result) {
    if (take('-')) return result.left_align = true;
    if (take('+')) return result.plus = true;
    if (take(' ')) return result.space = true;
    if (take('0')) return result.zero = true;
    if (take('#')) return result.alternate = true;
    return false;
  }
  int number() {
    if (take('*')) throw_unsupported("a width of '*' in a '%' format");
    int value = 0;
    for (; !done() && format_[at_] >= '0' && format_[at_] <= '9'; ++at_) {
      value = value * 10 + (format_[at_] - '0');
      if (value > kMaxWidth)
        throw_type_error(fmt::format("a width or precision in a '%' format is over {}", kMaxWidth));
    }
    return value;
  }

  std::string_view format_;
  size_t at_ = 0;
};

std::string format_number(const Conversion& c, const Value& value) {
  require_defined(value);
  if (!value.is_number())
    throw_type_error(
        fmt::format("%{} format: a real number is required, not {}", c.type, type_name(value)));
  const std::string sign = c.plus ? "+" : c.space ? " " : "";
  std::string spec = "{:" + sign;
  if (c.alternate) throw_unsupported("the flag '#' in a '%' format");
  if (c.zero && !c.left_align && c.width > 0) spec += fmt::format("0{}", c.width);
  const bool is_real = std::string_view("eEfFgG").find(c.type) != std::string_view::npos;
  if (is_real) {
    spec += fmt::format(".{}{}}}", c.precision < 0 ? 6 : c.precision, c.type);
    return fmt::format(fmt::runtime(spec), value.as_real());
  }
  if (c.precision >= 0) throw_unsupported("a precision of an integer in a '%' format");
  int64_t number = 0;
  if (value.is_integral()) {
    number = value.as_integer();
  } else {
    const double whole = std::trunc(value.as_real());
    const bool fits = std::abs(whole) < 9.2e18;
    if (!fits || c.type == 'x' || c.type == 'X' || c.type == 'o')
      throw_type_error(fmt::format("%{} format: an integer is required, not float", c.type));
    number = static_cast<int64_t>(whole);
  }
  spec += c.type == 'i' || c.type == 'u' ? 'd' : c.type;
  return fmt::format(fmt::runtime(spec + "}"), number);
}

std::string format_value(const Conversion& c, const Value& value, Meter& meter) {
  if (std::string_view("diuxXoeEfFgG").find(c.type) != std::string_view::npos)
    return format_number(c, value);
  TextBuilder out(meter);
  if (c.type == 's')
    append_text(value, out);
  else if (c.type == 'r')
    append_repr(value, out);
  else
    throw_type_error(fmt::format("unsupported format character '{}'", c.type));
  std::string text = out.take();
  if (c.precision >= 0) text.resize(byte_offset(text, static_cast<size_t>(c.precision)));
  return text;
}

std::string padded(const Conversion& c, std::string text) {
  const size_t length = count_code_points(text);
  const auto width = static_cast<size_t>(c.width);
  if (length >= width) return text;
  const std::string fill(width - length, ' ');
  return c.left_align ? text + fill : fill + text;
}

}  // namespace

Value format_percent(const Value& text, const Value& values, Meter& meter) {
  const bool is_tuple = values.is_sequence() && values.sequence_kind() == SequenceKind::tuple;
  const Value::Items arguments = is_tuple ? values.items() : Value::Items{values};
  PercentReader reader(text.as_string());
  TextBuilder out(meter);
  size_t used = 0;
  bool by_name = values.is_dict();
  while (!reader.done()) {
    out.append(reader.literal());
    if (reader.done()) break;
    std::optional<std::string> key;
    const Conversion conversion = reader.conversion(key);
    if (conversion.type == '%') {
      out.append("%");
      continue;
    }
    const Value* value = nullptr;
    if (key) {
      if (!values.is_dict()) throw_type_error("format requires a mapping");
      value = values.find(*key);
      if (value == nullptr) throw_type_error(fmt::format("key '{}' of a format is missing", *key));
    } else {
      by_name = false;
      if (used >= arguments.size()) throw_type_error("not enough arguments for format string");
      value = &arguments[used++];
    }
    out.append(padded(conversion, format_value(conversion, *value, meter)));
  }
  if (!by_name && used < arguments.size())
    throw_type_error("not all arguments converted during string formatting");
  return out.value();
}

namespace {

const Value& field_value(std::string_view name, const Arguments& arguments, size_t& next) {
  if (name.find_first_of(".[!:") != std::string_view::npos)
    throw_unsupported(fmt::format("the field '{{{}}}' of str.format", name));
  size_t index = next;
  if (name.empty()) {
    ++next;
  } else if (name.find_first_not_of("0123456789") == std::string_view::npos && name.size() < 6) {
    index = static_cast<size_t>(std::stoi(std::string(name)));
  } else {
    for (const auto& [key, value] : arguments.keyword)
      if (key == name) return value;
    throw_type_error(fmt::format("str.format misses the field '{}'", name));
  }
  if (index >= arguments.positional.size())
    throw_type_error(fmt::format("str.format misses positional field {}", index));
  return arguments.positional[index];
}

}  // namespace

Value format_braces(std::string_view text, const Arguments& arguments, Meter& meter) {
  TextBuilder out(meter);
  size_t next = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t brace = std::min(text.find_first_of("{}", at), text.size());
    out.append(text.substr(at, brace - at));
    if (brace == text.size()) break;
    if (brace + 1 < text.size() && text[brace + 1] == text[brace]) {
      out.append(text.substr(brace, 1));
      at = brace + 2;
      continue;
    }
    const size_t close = text.find('}', brace);
    if (text[brace] == '}' || close == std::string_view::npos)
      throw_type_error(fmt::format("single '{}' in the text of str.format", text[brace]));
    append_text(field_value(text.substr(brace + 1, close - brace - 1), arguments, next), out);
    at = close + 1;
  }
  return out.value();
}

}  // namespace veloz::text::jinja
