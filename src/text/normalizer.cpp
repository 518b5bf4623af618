// SPDX-License-Identifier: Apache-2.0
#include "text/normalizer.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace veloz::text {
namespace {

constexpr size_t kMaxDecomposition = 32;  // the longest is U+FDFA's, 18

int options_of(const std::string& form) {
  if (form == "NFC") return UTF8PROC_STABLE | UTF8PROC_COMPOSE;
  if (form == "NFD") return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
  if (form == "NFKC") return UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
  return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
}

// utf8proc's own ordering of marks takes quadratic time on a long run of them.
void order_marks(std::vector<utf8proc_int32_t>& code_points) {
  const auto mark_class = [](utf8proc_int32_t code_point) {
    return utf8proc_get_property(code_point)->combining_class;
  };
  const auto is_starter = [&](utf8proc_int32_t code_point) { return mark_class(code_point) == 0; };
  for (auto at = code_points.begin(); at != code_points.end();) {
    const auto begin = std::find_if_not(at, code_points.end(), is_starter);
    at = std::find_if(begin, code_points.end(), is_starter);
    std::stable_sort(begin, at, [&](utf8proc_int32_t a, utf8proc_int32_t b) {
      return mark_class(a) < mark_class(b);
    });
  }
}

std::string normalized(std::string_view text, utf8proc_option_t options) {
  std::vector<utf8proc_int32_t> code_points;
  code_points.reserve(text.size());
  for (; !text.empty(); text.remove_prefix(utf8_length(text))) {
    const auto code_point =
        static_cast<utf8proc_int32_t>(decode_code_point(text.substr(0, utf8_length(text))));
    std::array<utf8proc_int32_t, kMaxDecomposition> parts{};
    int boundary_class = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(
        code_point, parts.data(), static_cast<utf8proc_ssize_t>(parts.size()), options,
        &boundary_class);
    VELOZ_CHECK(count >= 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()),
                "U+{:04X} does not decompose: {}", code_point, count);
    code_points.insert(code_points.end(), parts.begin(), parts.begin() + count);
  }
  order_marks(code_points);
  utf8proc_ssize_t count = std::ssize(code_points);
  if ((options & UTF8PROC_COMPOSE) != 0)
    count = utf8proc_normalize_utf32(code_points.data(), count, options);
  VELOZ_CHECK(count >= 0, "normalising valid text failed: {}", utf8proc_errmsg(count));
  std::string result;
  for (const utf8proc_int32_t code_point : std::span(code_points).first(static_cast<size_t>(count)))
    append_code_point(result, static_cast<uint32_t>(code_point));
  return result;
}

}  // namespace

Normalizer unicode_normalizer(const std::string& form) {
  return [options = options_of(form)](const std::string& text) {
    return normalized(text, static_cast<utf8proc_option_t>(options));
  };
}

Normalizer lowercase_normalizer() {
  return [](const std::string& text) {
    std::string lower;
    for (std::string_view rest = text; !rest.empty();) {
      const size_t length = utf8_length(rest);
      const uint32_t code_point = decode_code_point(rest.substr(0, length));
      if (code_point == 0x130) {
        lower += "i\xcc\x87";  // the one character whose lower case is two
      } else {
        append_code_point(lower, static_cast<uint32_t>(
                                     utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))));
      }
      rest.remove_prefix(length);
    }
    return lower;
  };
}

Normalizer prepend_normalizer(std::string prefix) {
  return [prefix = std::move(prefix)](const std::string& text) {
    return text.empty() ? text : prefix + text;
  };
}

Normalizer replace_normalizer(const std::string& pattern, bool is_regex, std::string content) {
  auto regex = std::make_shared<const Regex>(is_regex ? pattern : escape_regex(pattern));
  return [regex, content = std::move(content)](const std::string& text) {
    std::string replaced;
    size_t at = 0;
    for (const Regex::Range& range : regex->find_all(text)) {
      replaced.append(text, at, range.begin - at);
      replaced += content;
      at = range.end;
    }
    replaced.append(text, at);
    return replaced;
  };
}

Normalizer strip_normalizer(bool left, bool right) {
  return [left, right](const std::string& text) {
    std::string_view view = text;
    while (left && leading_space_bytes(view) > 0) view.remove_prefix(leading_space_bytes(view));
    while (right && trailing_space_bytes(view) > 0) view.remove_suffix(trailing_space_bytes(view));
    return std::string(view);
  };
}

}  // namespace veloz::text
