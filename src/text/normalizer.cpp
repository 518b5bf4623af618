// SPDX-License-Identifier: Apache-2.0
#include "text/normalizer.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace veloz::text {
namespace {

struct FreeDeleter {
  void operator()(utf8proc_uint8_t* text) const { std::free(text); }
};

int options_of(const std::string& form) {
  if (form == "NFC") return UTF8PROC_STABLE | UTF8PROC_COMPOSE;
  if (form == "NFD") return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
  if (form == "NFKC") return UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
  return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
}

}  // namespace

Normalizer unicode_normalizer(const std::string& form) {
  return [options = options_of(form)](std::string text) {
    utf8proc_uint8_t* raw = nullptr;
    const utf8proc_ssize_t length = utf8proc_map(
        reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
        static_cast<utf8proc_ssize_t>(text.size()), &raw, static_cast<utf8proc_option_t>(options));
    const std::unique_ptr<utf8proc_uint8_t, FreeDeleter> mapped(raw);
    VELOZ_CHECK(length >= 0, "normalising valid text failed: {}", utf8proc_errmsg(length));
    return std::string(reinterpret_cast<const char*>(mapped.get()), static_cast<size_t>(length));
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
  return [prefix = std::move(prefix)](std::string text) {
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
