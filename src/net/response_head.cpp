// SPDX-License-Identifier: Apache-2.0
#include "net/response_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iterator>

#include "net/text.h"

namespace veloz::net {
namespace {

/// As RFC 9110 writes it: "Sun, 06 Nov 1994 08:49:37 GMT".
std::string http_date(std::time_t time) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&time, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                     kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

class HeadWriter {
 public:
  explicit HeadWriter(const Response& response) : response_(response) {}

  void add(std::string_view name, std::string_view value) {
    fmt::format_to(std::back_inserter(text_), "{}: ", name);
    for (const char c : value)
      text_.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
    text_ += "\r\n";
  }
  void add_unless_given(std::string_view name, std::string_view value) {
    const bool is_given = std::ranges::any_of(response_.headers, [&](const auto& field) {
      return equals_ignoring_case(field.first, name);
    });
    if (!is_given) add(name, value);
  }
  std::string& text() { return text_; }

 private:
  const Response& response_;
  std::string text_;
};

}  // namespace

bool has_body(int status) { return status >= 200 && status != 204 && status != 304; }

std::string response_head(const Response& response, std::string_view request_id,
                          const Framing& framing) {
  HeadWriter head(response);
  fmt::format_to(std::back_inserter(head.text()), "HTTP/1.1 {} {}\r\n", response.status,
                 reason_phrase(response.status));
  head.add_unless_given("Date", http_date(std::time(nullptr)));
  if (!request_id.empty()) head.add_unless_given("x-request-id", request_id);
  if (has_body(response.status)) {
    if (!response.content_type.empty())
      head.add_unless_given("Content-Type", response.content_type);
    if (!framing.is_stream)
      head.add("Content-Length", fmt::to_string(response.body.size()));
    else if (!framing.is_http_1_0)
      head.add("Transfer-Encoding", "chunked");
  }
  if (!framing.is_keep_alive)
    head.add("Connection", "close");
  else if (framing.is_http_1_0)
    head.add("Connection", "keep-alive");
  for (const auto& [name, value] : response.headers) head.add(name, value);
  head.text() += "\r\n";
  return std::move(head.text());
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace veloz::net
