// SPDX-License-Identifier: Apache-2.0
#include "http/page/page.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "http/fake_exchange.h"
#include "text/regex.h"

namespace veloz::http {
namespace {

std::shared_ptr<FakeExchange> get_page(net::Headers headers = {}) {
  Router router;
  add_page_route(router);
  auto exchange = std::make_shared<FakeExchange>(
      net::Request{.method = "GET", .path = "/", .headers = std::move(headers)});
  router.handle(exchange);
  return exchange;
}

bool holds(const std::string& text, const std::string& pattern) {
  return !text::Regex(pattern).find_all(text).empty();
}

TEST(Page, IsHtml) {
  const auto exchange = get_page();
  EXPECT_EQ(exchange->response->status, 200);
  EXPECT_EQ(exchange->response->content_type, "text/html; charset=utf-8");
  EXPECT_TRUE(exchange->response->body.starts_with("<!doctype html>"));
  EXPECT_NE(exchange->response->body.find("</html>"), std::string::npos);
}

TEST(Page, IsNotSentAgainToWhoHasIt) {
  const std::string etag = get_page()->header("ETag").value();
  const auto again = get_page({{"If-None-Match", etag}});
  EXPECT_EQ(again->response->status, 304);
  EXPECT_TRUE(again->response->body.empty());
  EXPECT_EQ(again->header("ETag"), etag);
  EXPECT_EQ(get_page({{"If-None-Match", "\"other\""}})->response->status, 200);
}

TEST(Page, LoadsNothingFromElsewhere) {
  const std::string html(page_html());
  EXPECT_FALSE(holds(html, "(src|href|url|import)\\s*[=(]\\s*[\"']?(https?:)?//"));
  EXPECT_EQ(html.find("@import"), std::string::npos);
}

TEST(Page, HoldsOneScriptAndOneStyleAndNoHandlersInAttributes) {
  const std::string html(page_html());
  for (const std::string tag : {"<script", "</script", "<style", "</style"}) {
    EXPECT_NE(html.find(tag), std::string::npos) << tag;
    EXPECT_EQ(html.find(tag), html.rfind(tag)) << tag;
  }
  EXPECT_FALSE(holds(html, "<[a-z][^>]*\\s(on[a-z]+|style)="));
  EXPECT_EQ(html.find("innerHTML"), std::string::npos);
}

TEST(Page, PolicyAllowsItsOwnScriptAndStyleAndNoOther) {
  const std::string policy = get_page()->header("Content-Security-Policy").value();
  EXPECT_TRUE(policy.starts_with("default-src 'none'; "));
  EXPECT_TRUE(holds(policy,
                    "script-src 'sha256-[A-Za-z0-9+/]{43}='; style-src 'sha256-"
                    "[A-Za-z0-9+/]{43}=';"));
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(policy.find('*'), std::string::npos);
}

}  // namespace
}  // namespace veloz::http
