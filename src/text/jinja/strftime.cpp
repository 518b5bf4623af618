// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/strftime.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/operators.h"

namespace veloz::text::jinja {
namespace {

constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};

std::string two_digits(int value) { return fmt::format("{:02}", value); }

// `flag` is glibc's: '-' drops the padding, '_' pads with spaces.
std::string with_flag(std::string digits, char flag) {
  if (flag == '\0') return digits;
  const size_t zeros = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  if (flag == '-') return digits.substr(zeros);
  return std::string(zeros, ' ') + digits.substr(zeros);
}

std::string directive(char letter, char flag, const std::tm& time) {
  const std::string_view day = kDays[static_cast<size_t>(std::clamp(time.tm_wday, 0, 6))];
  const std::string_view month = kMonths[static_cast<size_t>(std::clamp(time.tm_mon, 0, 11))];
  const int hour12 = time.tm_hour % 12 == 0 ? 12 : time.tm_hour % 12;
  const auto number = [&](int value) { return with_flag(two_digits(value), flag); };
  switch (letter) {
    case 'Y':
      return fmt::format("{}", time.tm_year + 1900);
    case 'y':
      return number((time.tm_year + 1900) % 100);
    case 'm':
      return number(time.tm_mon + 1);
    case 'd':
      return number(time.tm_mday);
    case 'e':
      return with_flag(two_digits(time.tm_mday), flag == '\0' ? '_' : flag);
    case 'H':
      return number(time.tm_hour);
    case 'I':
      return number(hour12);
    case 'M':
      return number(time.tm_min);
    case 'S':
      return number(time.tm_sec);
    case 'j':
      return with_flag(fmt::format("{:03}", time.tm_yday + 1), flag);
    case 'A':
      return std::string(day);
    case 'a':
      return std::string(day.substr(0, 3));
    case 'B':
      return std::string(month);
    case 'b':
    case 'h':
      return std::string(month.substr(0, 3));
    case 'p':
      return time.tm_hour < 12 ? "AM" : "PM";
    case 'F':
      return format_time("%Y-%m-%d", time);
    case 'T':
      return format_time("%H:%M:%S", time);
    case 'R':
      return format_time("%H:%M", time);
    case 'D':
      return format_time("%m/%d/%y", time);
    case 'n':
      return "\n";
    case 't':
      return "\t";
    case 'Z':
    case 'z':
      return "";  // the time has no zone
    case '%':
      return "%";
    default:
      throw_unsupported(fmt::format("the directive '%{}' of strftime_now", letter));
  }
}

}  // namespace

std::string format_time(std::string_view format, const std::tm& time) {
  std::string text;
  for (size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      text += format[at];
      continue;
    }
    char flag = '\0';
    if (++at < format.size() && (format[at] == '-' || format[at] == '_')) flag = format[at++];
    if (at >= format.size()) throw_unsupported("a strftime_now format that ends in '%'");
    text += directive(format[at], flag, time);
  }
  return text;
}

}  // namespace veloz::text::jinja
