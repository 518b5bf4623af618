// SPDX-License-Identifier: Apache-2.0
#include <utf8proc.h>

#include <algorithm>

#include "text/jinja/python_text.h"
#include "text/jinja/special_casing.h"

namespace veloz::text::jinja {
namespace {

constexpr char32_t kCapitalSigma = 0x3A3;
constexpr char32_t kFinalSigma = 0x3C2;
constexpr char32_t kCapitalIWithDot = 0x130;

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_cased(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL ||
         kind == UTF8PROC_CATEGORY_LT;
}

bool is_case_ignorable(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_ME ||
         kind == UTF8PROC_CATEGORY_CF || kind == UTF8PROC_CATEGORY_LM ||
         kind == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' || c == 0xB7 ||
         c == 0x2019;
}

const SpecialCasing* special_casing(char32_t c) {
  const auto* at = std::lower_bound(
      std::begin(kSpecialCasings), std::end(kSpecialCasings), c,
      [](const SpecialCasing& entry, char32_t wanted) { return entry.code_point < wanted; });
  return at != std::end(kSpecialCasings) && at->code_point == c ? at : nullptr;
}

void append_upper(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  } else if (const SpecialCasing* special = special_casing(c)) {
    out += special->upper;
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_title(std::string& out, char32_t c) {
  if (const SpecialCasing* special = c < 0x80 ? nullptr : special_casing(c))
    out += special->title;
  else
    append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
}

// A sigma that ends a word: a cased letter before it, none after, marks ignored.
bool is_final_sigma(std::u32string_view text, size_t at) {
  size_t before = at;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  size_t after = at + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

void append_lower(std::string& out, std::u32string_view text, size_t at) {
  const char32_t c = text[at];
  if (c == kCapitalSigma) {
    append_utf8(out, is_final_sigma(text, at) ? kFinalSigma : kCapitalSigma + 32);
  } else if (c == kCapitalIWithDot) {
    out += "i\xCC\x87";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

std::u32string code_points(std::string_view text) {
  std::u32string points;
  for (size_t at = 0; at < text.size(); at += code_point_size(text, at))
    points += code_point(text, at);
  return points;
}

template <typename Strips>
std::string_view strip_while(std::string_view text, Side side, const Strips& strips) {
  if (side != Side::right)
    while (!text.empty() && strips(text.substr(0, code_point_size(text, 0))))
      text.remove_prefix(code_point_size(text, 0));
  while (side != Side::left && !text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 && (text[start] & 0xC0) == 0x80) --start;
    if (code_point_size(text, start) != text.size() - start) start = text.size() - 1;
    if (!strips(text.substr(start))) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

}  // namespace

bool is_space(char32_t c) {
  if (c < 0x80) return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> chars) {
  return strip_while(text, side, [&](std::string_view one) {
    if (!chars) return is_space(code_point(one, 0));
    return chars->find(one) != std::string_view::npos;
  });
}

std::string upper(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); at += code_point_size(text, at))
    append_upper(out, code_point(text, at));
  return out;
}

std::string lower(std::string_view text) {
  const std::u32string points = code_points(text);
  std::string out;
  for (size_t i = 0; i < points.size(); ++i) append_lower(out, points, i);
  return out;
}

std::string capitalize(std::string_view text) {
  const std::u32string points = code_points(text);
  std::string out;
  for (size_t i = 0; i < points.size(); ++i)
    i == 0 ? append_title(out, points[i]) : append_lower(out, points, i);
  return out;
}

std::string title(std::string_view text) {
  const std::u32string points = code_points(text);
  std::string out;
  bool in_word = false;
  for (size_t i = 0; i < points.size(); ++i) {
    in_word ? append_lower(out, points, i) : append_title(out, points[i]);
    in_word = is_cased(points[i]);
  }
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = code_point(text, at);
    const size_t size = code_point_size(text, at);
    const bool ends_line = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                           c == 0x2028 || c == 0x2029;
    const size_t next = at + size;
    if (ends_line) {
      lines.push_back(text.substr(start, at - start));
      start = c == '\r' && next < text.size() && text[next] == '\n' ? next + 1 : next;
    }
    at = ends_line ? start : next;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

}  // namespace veloz::text::jinja
