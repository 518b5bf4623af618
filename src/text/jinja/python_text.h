// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace veloz::text::jinja {

// Python's text: str() and repr() of values, and what its strings do, by code point on UTF-8.
// A byte that is not UTF-8 counts as one character.

/// Text that grows under the meter's limits.
class TextBuilder {
 public:
  explicit TextBuilder(Meter& meter) : meter_(meter), charge_(&meter, 0) {}
  void append(std::string_view text) {
    meter_.work(text.size());
    charge_.grow(text.size());
    text_.append(text);
  }
  Meter& meter() { return meter_; }
  std::string take() { return std::move(text_); }
  Value value() { return Value::string(std::move(text_), &meter_); }

 private:
  Meter& meter_;
  Charge charge_;
  std::string text_;
};

/// Bytes of the character at `at` < text.size().
size_t code_point_size(std::string_view text, size_t at);
/// The character at `at`; U+FFFD where the bytes are no UTF-8.
char32_t code_point(std::string_view text, size_t at);
size_t count_code_points(std::string_view text);
/// Offset of the `index`-th character, text.size() if there are fewer.
size_t byte_offset(std::string_view text, size_t index);
void append_utf8(std::string& text, char32_t code_point);
/// As text.find, in linear time whatever the two strings are.
size_t find_bytes(std::string_view text, std::string_view what, size_t from = 0);

/// repr(float): the shortest digits that read back the same.
std::string real_text(double value);
/// str(value).
std::string to_text(const Value& value, Meter& meter);
void append_text(const Value& value, TextBuilder& out);
/// repr(value).
void append_repr(const Value& value, TextBuilder& out);

bool is_space(char32_t c);
enum class Side { both, left, right };
/// str.strip and its one-sided forms; no `chars` strips white space.
std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> chars);
std::string upper(std::string_view text);
std::string lower(std::string_view text);
/// str.capitalize.
std::string capitalize(std::string_view text);
/// str.title: each run of letters; the filter splits otherwise.
std::string title(std::string_view text);
std::vector<std::string_view> split_lines(std::string_view text);

/// str.replace, at most `limit` times.
Value replace_text(std::string_view text, std::string_view old_text, std::string_view new_text,
                   int64_t limit, Meter& meter);
/// `text % values`, and the filter `format`.
Value format_percent(const Value& text, const Value& values, Meter& meter);
/// str.format with the fields `{}`, `{0}` and `{name}`, without specifications.
Value format_braces(std::string_view text, const Arguments& arguments, Meter& meter);

}  // namespace veloz::text::jinja
