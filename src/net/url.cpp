// SPDX-License-Identifier: Apache-2.0
#include "net/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "net/text.h"

namespace veloz::net {
namespace {

constexpr uint16_t kHttpPort = 80;
constexpr uint16_t kHttpsPort = 443;

[[noreturn]] void fail(std::string_view text, std::string_view why) {
  throw Error(ErrorKind::invalid_input, fmt::format("\"{}\" is no URL: {}", text, why),
              "write it as http://127.0.0.1:8000/v1/models");
}

uint16_t parse_port(std::string_view digits, std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port == 0)
    fail(text, "its port is no number from 1 to 65535");
  return port;
}

}  // namespace

std::string Url::authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
  return port == (is_tls ? kHttpsPort : kHttpPort) ? name : fmt::format("{}:{}", name, port);
}

Url parse_url(std::string_view text) {
  Url url;
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) fail(text, "it has no scheme");
  const std::string_view scheme = text.substr(0, scheme_end);
  url.is_tls = equals_ignoring_case(scheme, "https");
  if (!url.is_tls && !equals_ignoring_case(scheme, "http"))
    fail(text, "its scheme is neither http nor https");
  url.port = url.is_tls ? kHttpsPort : kHttpPort;

  std::string_view rest = text.substr(scheme_end + 3);
  const size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, authority_end);
  std::string_view target = rest.substr(authority_end);
  target = target.substr(0, target.find('#'));
  url.target = target.starts_with('/') ? std::string(target) : "/" + std::string(target);
  if (std::ranges::any_of(text, [](char c) { return c <= ' ' || c == '\x7f'; }))
    fail(text, "it holds a space or a control character");
  if (authority.find('@') != std::string_view::npos) fail(text, "it holds a user name");

  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) fail(text, "a bracket is not closed");
    url.host = authority.substr(1, end - 1);
    authority.remove_prefix(end + 1);
    if (!authority.empty() && !authority.starts_with(':')) fail(text, "text follows the address");
  } else {
    url.host = authority.substr(0, authority.find(':'));
    authority.remove_prefix(url.host.size());
  }
  if (url.host.empty()) fail(text, "it names no host");
  if (authority.starts_with(':')) url.port = parse_port(authority.substr(1), text);
  return url;
}

}  // namespace veloz::net
