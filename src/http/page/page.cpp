// SPDX-License-Identifier: Apache-2.0
#include "http/page/page.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "base/hash.h"

namespace veloz::http {
namespace {

/// What stands between <tag> and </tag>, the first time.
std::string_view content_of(std::string_view html, std::string_view tag) {
  const std::string open = fmt::format("<{}>", tag), close = fmt::format("</{}>", tag);
  const size_t begin = html.find(open);
  const size_t end = html.find(close);
  VELOZ_CHECK(begin != html.npos && end != html.npos, "the page has no <{}>", tag);
  return html.substr(begin + open.size(), end - begin - open.size());
}

/// As a Content-Security-Policy names an inline script or style: 'sha256-...'.
std::string policy_hash(std::string_view content) {
  std::array<unsigned char, 32> digest{};
  unsigned size = 0;
  const int is_hashed = EVP_Digest(content.data(), content.size(), digest.data(), &size,
                                   EVP_sha256(), /*impl=*/nullptr);
  VELOZ_CHECK(is_hashed == 1 && size == digest.size(), "no SHA-256");
  std::array<unsigned char, 45> base64{};  // 32 bytes make 44 characters, and a NUL
  EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(digest.size()));
  return fmt::format("'sha256-{}'", reinterpret_cast<const char*>(base64.data()));
}

net::Headers page_headers(std::string_view html, std::string etag) {
  return {{"ETag", std::move(etag)},
          {"Cache-Control", "no-cache"},
          {"Content-Security-Policy",
           fmt::format("default-src 'none'; script-src {}; style-src {}; img-src data:; "
                       "connect-src 'self'; base-uri 'none'; form-action 'none'; "
                       "frame-ancestors 'none'",
                       policy_hash(content_of(html, "script")),
                       policy_hash(content_of(html, "style")))},
          {"X-Content-Type-Options", "nosniff"},
          {"Referrer-Policy", "no-referrer"}};
}

}  // namespace

void add_page_route(Router& router) {
  const std::string_view html = page_html();
  const std::string etag = fmt::format("\"{:016x}\"", xxh3_64(std::as_bytes(std::span(html))));
  const auto headers = std::make_shared<const net::Headers>(page_headers(html, etag));
  router.add("GET", "/", [html, etag, headers](const std::shared_ptr<net::Exchange>& exchange) {
    const bool is_known = exchange->request().header("If-None-Match") == etag;
    exchange->respond({.status = is_known ? 304 : 200,
                       .content_type = "text/html; charset=utf-8",
                       .body = is_known ? std::string() : std::string(html),
                       .headers = *headers});
  });
}

}  // namespace veloz::http
