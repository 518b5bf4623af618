// SPDX-License-Identifier: Apache-2.0
#include "net/url.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "net/text.h"

namespace veloz::net {
namespace {

TEST(Url, IsTakenApart) {
  const Url url = parse_url("HTTPS://example.org:8443/v1/models?x=1#part");
  EXPECT_TRUE(url.is_tls);
  EXPECT_EQ(url.host, "example.org");
  EXPECT_EQ(url.port, 8443);
  EXPECT_EQ(url.target, "/v1/models?x=1");
  EXPECT_EQ(url.authority(), "example.org:8443");
}

TEST(Url, HasThePortOfItsSchemeAndARootWhereNoneIsGiven) {
  EXPECT_EQ(parse_url("http://a").port, 80);
  EXPECT_EQ(parse_url("https://a").port, 443);
  EXPECT_EQ(parse_url("https://a").authority(), "a");
  EXPECT_EQ(parse_url("http://a?x").target, "/?x");
}

TEST(Url, MayHoldAnAddressOfIpv6) {
  const Url url = parse_url("http://[::1]:8000/");
  EXPECT_EQ(url.host, "::1");
  EXPECT_EQ(url.port, 8000);
  EXPECT_EQ(url.authority(), "[::1]:8000");
}

TEST(Url, ThatCannotBeIsRefused) {
  for (const char* text : {"", "127.0.0.1:8000", "ftp://a/", "http://", "http://:80/", "http://a:/",
                           "http://a:0/", "http://a:65536/", "http://a:8x/", "http://a b/",
                           "http://user@a/", "http://[::1/", "http://[::1]x/", "http://a/\r\nx"})
    EXPECT_THROW(parse_url(text), Error) << text;
}

TEST(PercentDecode, TurnsEscapesIntoBytesAndRefusesBadOnes) {
  EXPECT_EQ(percent_decode("/a%2Fb%20c"), "/a/b c");
  EXPECT_EQ(percent_decode("%e4%BD%A0"), "\xe4\xbd\xa0");
  for (const char* text : {"%", "%4", "%4g", "%00", "a%2"})
    EXPECT_EQ(percent_decode(text), std::nullopt) << text;
}

}  // namespace
}  // namespace veloz::net
