// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/python_text.h"

#include <fmt/format.h>
#include <string.h>  // memmem
#include <utf8proc.h>

#include <charconv>
#include <cmath>

#include "text/jinja/operators.h"

namespace veloz::text::jinja {

namespace {

struct Decoded {
  char32_t code_point;
  size_t size;
};

Decoded decode(std::string_view text, size_t at) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at);
  if (bytes[0] < 0x80) return {bytes[0], 1};
  utf8proc_int32_t c = 0;
  const utf8proc_ssize_t size =
      utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size() - at), &c);
  if (size <= 0) return {0xFFFD, 1};
  return {static_cast<char32_t>(c), static_cast<size_t>(size)};
}

}  // namespace

size_t code_point_size(std::string_view text, size_t at) { return decode(text, at).size; }
char32_t code_point(std::string_view text, size_t at) { return decode(text, at).code_point; }

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += code_point_size(text, at)) ++count;
  return count;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  while (index > 0 && at < text.size()) {
    at += code_point_size(text, at);
    --index;
  }
  return at;
}

void append_utf8(std::string& text, char32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

size_t find_bytes(std::string_view text, std::string_view what, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (what.empty()) return from;
  const void* at = memmem(text.data() + from, text.size() - from, what.data(), what.size());
  if (at == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view shortest(buffer, static_cast<size_t>(end - buffer));
  const size_t e = shortest.find('e');
  const int exponent = std::stoi(std::string(shortest.substr(e + 1)));
  if (exponent < -4 || exponent >= 16) return std::string(shortest);
  const auto fixed_end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed).ptr;
  std::string fixed(buffer, fixed_end);
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

namespace {

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

std::string escaped(char32_t c, char quote) {
  if (c == static_cast<char32_t>(quote) || c == '\\') return {'\\', static_cast<char>(c)};
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  const auto number = static_cast<uint32_t>(c);
  if (c <= 0xFF) return fmt::format("\\x{:02x}", number);
  return c <= 0xFFFF ? fmt::format("\\u{:04x}", number) : fmt::format("\\U{:08x}", number);
}

void append_string_repr(std::string_view text, TextBuilder& out) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out.meter().scan(text.size());
  out.append({&quote, 1});
  size_t from = 0;  // what is not yet written
  for (size_t at = 0; at < text.size();) {
    const Decoded d = decode(text, at);
    const bool plain = is_printable(d.code_point) && d.code_point != '\\' &&
                       d.code_point != static_cast<char32_t>(quote);
    if (!plain) {
      out.append(text.substr(from, at - from));
      out.append(escaped(d.code_point, quote));
      from = at + d.size;
    }
    at += d.size;
  }
  out.append(text.substr(from));
  out.append({&quote, 1});
}

void append_items_repr(const Value& value, TextBuilder& out) {
  const Value::Items& items = value.items();
  const SequenceKind kind = value.sequence_kind();
  const bool is_tuple = kind == SequenceKind::tuple;
  const bool is_view = kind != SequenceKind::list && !is_tuple;
  if (is_view) out.append(fmt::format("{}(", type_name(value)));
  out.append(is_tuple ? "(" : "[");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(items[i], out);
  }
  if (is_tuple && items.size() == 1) out.append(",");
  out.append(is_tuple ? ")" : "]");
  if (is_view) out.append(")");
}

void append_sequence_repr(const Value& value, TextBuilder& out) {
  if (value.sequence_kind() == SequenceKind::range ||
      value.sequence_kind() == SequenceKind::generator)
    throw_unsupported(
        fmt::format("a '{}' cannot be printed; use the filter \"list\" first", type_name(value)));
  append_items_repr(value, out);
}

}  // namespace

void append_repr(const Value& value, TextBuilder& out) {
  out.meter().step();
  switch (value.kind()) {
    case Kind::undefined:
      return out.append("Undefined");
    case Kind::none:
      return out.append("None");
    case Kind::boolean:
      return out.append(value.as_boolean() ? "True" : "False");
    case Kind::integer:
      return out.append(std::to_string(value.as_integer()));
    case Kind::real:
      return out.append(real_text(value.as_real()));
    case Kind::string:
      return append_string_repr(value.as_string(), out);
    case Kind::sequence:
      return append_sequence_repr(value, out);
    case Kind::dict:
      out.append("{");
      for (size_t i = 0; i < value.pairs().size(); ++i) {
        if (i > 0) out.append(", ");
        append_repr(value.pairs()[i].first, out);
        out.append(": ");
        append_repr(value.pairs()[i].second, out);
      }
      return out.append("}");
    case Kind::object:
      throw_unsupported(fmt::format("a '{}' cannot be printed", type_name(value)));
  }
}

void append_text(const Value& value, TextBuilder& out) {
  if (value.is_string()) return out.append(value.as_string());
  if (!value.is_undefined()) append_repr(value, out);
}

std::string to_text(const Value& value, Meter& meter) {
  TextBuilder out(meter);
  append_text(value, out);
  return out.take();
}

}  // namespace veloz::text::jinja
