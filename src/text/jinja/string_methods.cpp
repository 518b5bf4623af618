// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <functional>

#include "text/jinja/arguments.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"

namespace veloz::text::jinja {
namespace {

Value new_string(Interpreter& interpreter, std::string text) {
  interpreter.meter().work(text.size());
  return Value::string(std::move(text), &interpreter.meter());
}

Value convert_case(Interpreter& interpreter, const Value& self,
                   std::string (*convert)(std::string_view)) {
  // Code points take four bytes on the way, and the result up to three times the text.
  const Charge room(&interpreter.meter(), self.as_string().size() * 7);
  interpreter.meter().scan(self.as_string().size());
  return new_string(interpreter, convert(self.as_string()));
}

template <std::string (*kConvert)(std::string_view)>
Value case_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("a case method", arguments, {});
  return convert_case(interpreter, self, kConvert);
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); at += code_point_size(text, at)) {
    const std::string_view one = text.substr(at, code_point_size(text, at));
    const std::string lowered = lower(one);
    out += lowered == one ? upper(one) : lowered;
  }
  return out;
}

template <Side kSide>
Value strip_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("strip", arguments, {"chars"});
  std::optional<std::string_view> chars;
  if (!bound.is_none(0)) chars = bound.string(0, {});
  interpreter.meter().work(self.as_string().size() * (chars ? 1 + chars->size() / 16 : 1));
  return new_string(interpreter, std::string(strip(self.as_string(), kSide, chars)));
}

Value join(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("join", arguments, {"iterable"}, 1);
  TextBuilder out(interpreter.meter());
  bool is_first = true;
  for (const Value& item : iterate(*bound[0], interpreter.meter())) {
    if (!item.is_string())
      throw_type_error(
          fmt::format("join() needs strings, got an item of type '{}'", type_name(item)));
    if (!is_first) out.append(self.as_string());
    out.append(item.as_string());
    is_first = false;
  }
  return out.value();
}

Value format(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  return format_braces(self.as_string(), arguments, interpreter.meter());
}

Value lines(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("splitlines", arguments, {"keepends"});
  if (bound.boolean(0, false)) throw_unsupported("splitlines(keepends=True)");
  interpreter.meter().scan(self.as_string().size());
  const Charge room(&interpreter.meter(), self.as_string().size() * sizeof(std::string_view));
  Value::Items items;
  for (const std::string_view line : split_lines(self.as_string()))
    items.push_back(new_string(interpreter, std::string(line)));
  return Value::list(std::move(items), &interpreter.meter());
}

Value remove_prefix(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("removeprefix", arguments, {"prefix"}, 1);
  const std::string_view text = self.as_string();
  const std::string_view prefix = bound.string(0, {});
  return text.starts_with(prefix) ? new_string(interpreter, std::string(text.substr(prefix.size())))
                                  : self;
}

Value remove_suffix(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("removesuffix", arguments, {"suffix"}, 1);
  const std::string_view text = self.as_string();
  const std::string_view suffix = bound.string(0, {});
  if (!text.ends_with(suffix)) return self;
  return new_string(interpreter, std::string(text.substr(0, text.size() - suffix.size())));
}

enum class Pad { left, right, both };

template <Pad kPad>
Value pad(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("a padding method", arguments, {"width", "fillchar"}, 1);
  const std::string_view fill = bound.string(1, " ");
  if (count_code_points(fill) != 1) throw_type_error("the fill character must be one character");
  const int64_t length = static_cast<int64_t>(count_code_points(self.as_string()));
  const int64_t missing = std::max<int64_t>(0, bound.integer(0, 0) - length);
  int64_t before = kPad == Pad::left ? missing : 0;
  // CPython puts the odd one on the left if the width is odd.
  if (kPad == Pad::both) before = missing / 2 + (missing & bound.integer(0, 0) & 1);
  TextBuilder out(interpreter.meter());
  for (int64_t i = 0; i < before; ++i) out.append(fill);
  out.append(self.as_string());
  for (int64_t i = before; i < missing; ++i) out.append(fill);
  return out.value();
}

Value zero_fill(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("zfill", arguments, {"width"}, 1);
  std::string_view text = self.as_string();
  const int64_t length = static_cast<int64_t>(count_code_points(text));
  TextBuilder out(interpreter.meter());
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    out.append(text.substr(0, 1));
    text.remove_prefix(1);
  }
  for (int64_t i = length; i < bound.integer(0, 0); ++i) out.append("0");
  out.append(text);
  return out.value();
}

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}
bool is_alpha(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}
bool is_digit(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_alnum(char32_t c) {
  return is_alpha(c) || is_digit(c) || category(c) == UTF8PROC_CATEGORY_NL ||
         category(c) == UTF8PROC_CATEGORY_NO;
}
bool is_ascii(char32_t c) { return c < 0x80; }

template <bool (*kIs)(char32_t), bool kOfEmpty = false>
Value all_are(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("a character test", arguments, {});
  const std::string_view text = self.as_string();
  interpreter.meter().scan(text.size());
  if (text.empty()) return Value::boolean(kOfEmpty);
  for (size_t at = 0; at < text.size(); at += code_point_size(text, at))
    if (!kIs(code_point(text, at))) return Value::boolean(false);
  return Value::boolean(true);
}

// Has a cased character, and none of the other case.
template <std::string (*kConvert)(std::string_view), std::string (*kOther)(std::string_view)>
Value is_cased_as(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const BoundArguments bound("a case test", arguments, {});
  const std::string_view text = self.as_string();
  const Charge room(&interpreter.meter(), text.size() * 10);
  interpreter.meter().scan(text.size() * 2);
  return Value::boolean(kConvert(text) == text && kOther(text) != text);
}

constexpr std::pair<std::string_view, MethodFunction> kMethods[] = {
    {"capitalize", case_method<capitalize>},
    {"casefold", case_method<lower>},
    {"center", pad<Pad::both>},
    {"format", format},
    {"isalnum", all_are<is_alnum>},
    {"isalpha", all_are<is_alpha>},
    {"isascii", all_are<is_ascii, true>},
    {"isdecimal", all_are<is_digit>},
    {"isdigit", all_are<is_digit>},
    {"islower", is_cased_as<lower, upper>},
    {"isnumeric", all_are<is_digit>},
    {"isspace", all_are<is_space>},
    {"isupper", is_cased_as<upper, lower>},
    {"join", join},
    {"ljust", pad<Pad::right>},
    {"lower", case_method<lower>},
    {"lstrip", strip_method<Side::left>},
    {"removeprefix", remove_prefix},
    {"removesuffix", remove_suffix},
    {"rjust", pad<Pad::left>},
    {"rstrip", strip_method<Side::right>},
    {"splitlines", lines},
    {"strip", strip_method<Side::both>},
    {"swapcase", case_method<swap_case>},
    {"title", case_method<title>},
    {"upper", case_method<upper>},
    {"zfill", zero_fill},
};

}  // namespace

MethodFunction find_string_method(std::string_view name) {
  return find_in_table<MethodFunction>(kMethods, name);
}

}  // namespace veloz::text::jinja
