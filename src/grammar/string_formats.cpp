// SPDX-License-Identifier: Apache-2.0
#include "grammar/string_formats.h"

#include <fmt/format.h>

#include <string>

namespace veloz::grammar {
namespace {

/// A day that exists, of the years 0001 to 9999.
std::string date() {
  const char* year = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";
  const char* leap_year =
      "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)";
  return fmt::format(
      "(?:{}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"
      "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|{}-02-29)",
      year, leap_year);
}

std::string time() {
  return R"((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?)"
         R"((?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))";
}

/// RFC 3339, appendix A.
std::string duration() {
  const std::string n = "[0-9]{1,6}";
  const std::string days = fmt::format("(?:{0}Y(?:{0}M(?:{0}D)?)?|{0}M(?:{0}D)?|{0}D)", n);
  const std::string hours = fmt::format("T(?:{0}H(?:{0}M(?:{0}S)?)?|{0}M(?:{0}S)?|{0}S)", n);
  return fmt::format("P(?:{}W|{}(?:{})?|{})", n, days, hours, hours);
}

std::string ipv4() {
  const std::string byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  return fmt::format(R"((?:{0}\.){{3}}{0})", byte);
}

/// Groups in hexadecimal, without an IPv4 address at the end.
std::string ipv6() {
  const std::string group = "[0-9A-Fa-f]{1,4}";
  std::string pattern = fmt::format("(?:{0}:){{7}}{0}", group);
  // "::" stands for one group or more: at most seven are left, some of them in front.
  for (int before = 0; before <= 7; ++before) {
    const int after = 7 - before;
    pattern += before == 0 ? "|::" : fmt::format("|(?:{}:){{{}}}:", group, before);
    if (after > 0) pattern += fmt::format("(?:{0}(?::{0}){{0,{1}}})?", group, after - 1);
  }
  return pattern;
}

/// One label and `least_more` to 7 more, of at most 30 characters each where 63 were allowed: so
/// no choice of them is longer than the 253 that a name may have.
std::string hostname(int least_more) {
  const std::string label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,28}[A-Za-z0-9])?";
  return fmt::format(R"({0}(?:\.{0}){{{1},7}})", label, least_more);
}

std::string email() {
  const std::string atom = "[A-Za-z0-9_+-]{1,20}";
  return fmt::format(R"({0}(?:\.{0}){{0,2}}@{1})", atom, hostname(1));
}

std::string uri() {
  const std::string character = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
  return fmt::format(R"([a-z][a-z0-9+.-]{{0,15}}://{0}(?::[0-9]{{1,5}})?(?:/{1}*)*)"
                     R"((?:\?(?:{1}|[/?])*)?(?:#(?:{1}|[/?])*)?)",
                     hostname(0), character);
}

struct Format {
  std::string_view name;
  std::string (*pattern)();
};

constexpr Format kFormats[] = {
    {"date", date},
    {"date-time", [] { return date() + "T" + time(); }},
    {"duration", duration},
    {"email", email},
    {"hostname", [] { return hostname(0); }},
    {"ipv4", ipv4},
    {"ipv6", ipv6},
    {"json-pointer", [] { return std::string("(?:/(?:[^~/]|~[01])*)*"); }},
    {"time", time},
    {"uri", uri},
    {"uuid", [] { return std::string("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"); }},
};

}  // namespace

std::optional<std::string> format_pattern(std::string_view format) {
  for (const Format& known : kFormats)
    if (known.name == format) return known.pattern();
  return std::nullopt;
}

std::string known_formats() {
  std::string names;
  for (const Format& known : kFormats)
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  return names;
}

}  // namespace veloz::grammar
