// SPDX-License-Identifier: Apache-2.0
#include "net/response_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace veloz::net {
namespace {

struct Seen {
  ResponseHead head;
  std::string body;
  ResponseParser parser{{.on_head = [this](const ResponseHead& h) { head = h; },
                         .on_data = [this](std::string_view data) { body += data; }},
                        /*is_answer_to_head=*/false};

  /// One byte more each time, as the slowest connection would bring it.
  void feed_slowly(std::string_view text) {
    std::string kept;
    for (const char c : text) {
      kept += c;
      kept.erase(0, parser.feed(kept));
    }
  }
};

TEST(ResponseParser, ReadsChunksHoweverTheyAreCut) {
  Seen seen;
  seen.feed_slowly(
      "HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n"
      "X-Trailer: 1\r\n\r\n");
  EXPECT_TRUE(seen.parser.is_done());
  EXPECT_TRUE(seen.parser.is_keep_alive());
  EXPECT_EQ(seen.body, "abcd");
  EXPECT_EQ(seen.head.header("x-a"), "1");
  EXPECT_EQ(seen.head.header("x-trailer"), std::nullopt);
}

TEST(ResponseParser, SkipsInterimAnswers) {
  Seen seen;
  seen.feed_slowly("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(seen.head.status, 200);
  EXPECT_EQ(seen.body, "ok");
  EXPECT_TRUE(seen.parser.is_done());
}

TEST(ResponseParser, EndsABodyWithoutLengthWithTheConnection) {
  Seen seen;
  seen.feed_slowly("HTTP/1.1 200 OK\r\n\r\nabc");
  EXPECT_FALSE(seen.parser.is_done());
  seen.parser.end();
  EXPECT_TRUE(seen.parser.is_done());
  EXPECT_FALSE(seen.parser.is_keep_alive());
  EXPECT_EQ(seen.body, "abc");
}

TEST(ResponseParser, NoticesAnAnswerCutShort) {
  for (const char* text :
       {"", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"}) {
    Seen seen;
    seen.feed_slowly(text);
    seen.parser.end();
    EXPECT_TRUE(seen.parser.problem()) << text;
  }
}

TEST(ResponseParser, RefusesWhatIsNoAnswer) {
  for (const char* text : {"SSH-2.0-x\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"}) {
    Seen seen;
    seen.feed_slowly(text);
    EXPECT_TRUE(seen.parser.problem()) << text;
  }
}

}  // namespace
}  // namespace veloz::net
