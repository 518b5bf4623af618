// SPDX-License-Identifier: Apache-2.0
#include "net/request_parser.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace veloz::net {
namespace {

using State = RequestParser::State;

struct Outcome {
  State state = State::start;
  int status = 0;  // of the refusal
  Request request = {};
  std::string rest = {};  // not read
};

/// Gives the parser `step` more bytes each time.
Outcome parse(std::string_view text, const ParserLimits& limits = {},
              size_t step = std::string_view::npos) {
  RequestParser parser(limits);
  std::string kept;
  while (!text.empty() && parser.state() != State::complete && parser.state() != State::refused) {
    kept += text.substr(0, step);
    text.remove_prefix(std::min(step, text.size()));
    kept.erase(0, parser.feed(kept));
  }
  Outcome outcome{.state = parser.state(), .rest = kept + std::string(text)};
  if (parser.state() == State::refused) outcome.status = parser.refusal().status;
  if (parser.state() == State::complete) outcome.request = parser.take();
  return outcome;
}

std::string post(std::string_view fields, std::string_view body) {
  return fmt::format("POST /v1/x HTTP/1.1\r\nHost: a\r\n{}\r\n{}", fields, body);
}

TEST(RequestParser, ReadsARequestHoweverItIsCut) {
  const std::string text =
      "\r\nPOST /v1/a%20b?x=%20 HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Request-Id: id-1\r\n"
      "Content-Length: 4\r\n\r\nbodyGET";
  for (size_t step = 1; step <= text.size(); ++step) {
    const Outcome outcome = parse(text, {}, step);
    ASSERT_EQ(outcome.state, State::complete) << step;
    EXPECT_EQ(outcome.request.method, "POST");
    EXPECT_EQ(outcome.request.path, "/v1/a b");
    EXPECT_EQ(outcome.request.query, "x=%20");
    EXPECT_EQ(outcome.request.body, "body");
    EXPECT_EQ(outcome.request.id, "id-1");
    EXPECT_EQ(outcome.request.header("x-EMPTY"), "");
    EXPECT_EQ(outcome.rest, "GET");
  }
}

TEST(RequestParser, ReadsChunksHoweverTheyAreCutAndForgetsTheTrailer) {
  const std::string text =
      post("Transfer-Encoding: Chunked\r\n",
           "5;name=\"v\"\r\nhello\r\nA\r\n, world...\r\n0\r\nX-T: 1\r\n\r\nnext");
  for (size_t step = 1; step <= text.size(); ++step) {
    const Outcome outcome = parse(text, {}, step);
    ASSERT_EQ(outcome.state, State::complete) << step;
    EXPECT_EQ(outcome.request.body, "hello, world...");
    EXPECT_EQ(outcome.request.header("x-t"), std::nullopt);
    EXPECT_EQ(outcome.rest, "next");
  }
}

TEST(RequestParser, TakesTheAbsoluteFormForItsPath) {
  EXPECT_EQ(parse("GET http://a:1/v1/x?y HTTP/1.1\r\nHost: a\r\n\r\n").request.path, "/v1/x");
  EXPECT_EQ(parse("GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n").request.path, "/");
  EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").request.path, "*");
}

TEST(RequestParser, ReadsNulAndAllOtherBytesInABody) {
  std::string body;
  for (int c = 0; c < 256; ++c) body.push_back(static_cast<char>(c));
  EXPECT_EQ(parse(post("Content-Length: 256\r\n", body)).request.body, body);
}

// What two readers of one connection could understand differently, and plain nonsense.
TEST(RequestParser, RefusesSmugglingAndNonsense) {
  struct Bad {
    const char* name;
    std::string text;
    int status = 400;
  };
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  const std::string nul("\0", 1);
  const std::vector<Bad> corpus = {
      {"length and chunked", post("Content-Length: 5\r\n" + chunked, "0\r\n\r\n")},
      {"chunked and length", post(chunked + "Content-Length: 5\r\n", "0\r\n\r\n")},
      {"two lengths that differ", post("Content-Length: 1\r\nContent-Length: 2\r\n", "ab")},
      {"two lengths that agree", post("Content-Length: 2\r\nContent-Length: 2\r\n", "ab")},
      {"a list of lengths", post("Content-Length: 2, 2\r\n", "ab")},
      {"a length with a sign", post("Content-Length: +2\r\n", "ab")},
      {"a negative length", post("Content-Length: -2\r\n", "ab")},
      {"a length in hexadecimal", post("Content-Length: 0x2\r\n", "ab")},
      {"a length that overflows", post("Content-Length: 99999999999999999999\r\n", "ab")},
      {"an empty length", post("Content-Length:\r\n", "ab")},
      {"a length with text", post("Content-Length: 2 2\r\n", "ab")},
      {"a length with a vertical tab", post("Content-Length: \v2\r\n", "ab")},
      {"space before the colon", post("Content-Length : 2\r\n", "ab")},
      {"tab before the colon", post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n")},
      {"two encodings", post(chunked + chunked, "0\r\n\r\n")},
      {"chunked twice", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 501},
      {"identity", post("Transfer-Encoding: identity\r\n", "0\r\n\r\n"), 501},
      {"gzip before chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501},
      {"chunked before gzip", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), 501},
      {"an unknown encoding", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501},
      {"a quoted encoding", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 501},
      {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" + chunked + "\r\n0\r\n\r\n"},
      {"no host", "GET / HTTP/1.1\r\n\r\n"},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
      {"a folded field", post("X-A: 1\r\n 2\r\n", "")},
      {"a folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
      {"a field folded with a tab", post("X-A: 1\r\n\tContent-Length: 3\r\n", "abc")},
      {"LF alone after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"},
      {"LF alone after a field", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"},
      {"LF alone at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n"},
      {"CR alone", "GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n"},
      {"CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"},
      {"NUL in a value", post("X-A: 1" + nul + "2\r\n", "")},
      {"NUL in a name", post("X" + nul + "A: 1\r\n", "")},
      {"NUL in the path", "GET /" + nul + " HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a control character in a value", post("X-A: 1\x01\r\n", "")},
      {"a field without a colon", post("Hello\r\n", "")},
      {"a field without a name", post(": x\r\n", "")},
      {"a name with a space", post("X A: 1\r\n", "")},
      {"a name with a parenthesis", post("X(A): 1\r\n", "")},
      {"two authorizations", post("Authorization: a\r\nAuthorization: b\r\n", "")},
      {"a chunk size with a sign", post(chunked, "+1\r\na\r\n0\r\n\r\n")},
      {"a chunk size with 0x", post(chunked, "0x1\r\na\r\n0\r\n\r\n")},
      {"a chunk size with a space", post(chunked, "1 \r\na\r\n0\r\n\r\n")},
      {"a space before a chunk size", post(chunked, " 1\r\na\r\n0\r\n\r\n")},
      {"no chunk size", post(chunked, "\r\na\r\n0\r\n\r\n")},
      {"a chunk size that overflows", post(chunked, "fffffffffffffffff\r\na\r\n"), 400},
      {"a huge chunk size", post(chunked, "ffffffffffffffff\r\na\r\n"), 413},
      {"a chunk that is too long", post(chunked, "1\r\nab\r\n0\r\n\r\n")},
      {"a chunk line that ends in LF", post(chunked, "1\na\r\n0\r\n\r\n")},
      {"a chunk that ends in LF", post(chunked, "1\r\na\n0\r\n\r\n")},
      {"a chunk size in words", post(chunked, "one\r\na\r\n0\r\n\r\n")},
      {"a bad trailer", post(chunked, "0\r\nX Y\r\n\r\n")},
      {"a bad escape in the path", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"an escaped NUL in the path", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"an authority for a target", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a star for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"two spaces after the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 505},
      {"a tab before the target", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"a space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"text after the version", "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", 505},
      {"HTTP/0.9", "GET /\r\n\r\n"},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
      {"HTTP/11", "GET / HTTP/11\r\nHost: a\r\n\r\n", 505},
      {"http in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 505},
      {"no HTTP at all", "\x16\x03\x01\x02" + nul + "\x01"},
      {"a method with a slash", "GE/T / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"only empty lines", "\r\n\r\n\r\n\r\n\r\n\r\n"},
      {"an unknown expectation", post("Expect: tea\r\nContent-Length: 1\r\n", "a"), 417},
  };
  for (const Bad& bad : corpus) {
    for (const size_t step : {size_t{1}, size_t{7}, std::string::npos}) {
      const Outcome outcome = parse(bad.text, {}, step);
      EXPECT_EQ(outcome.state, State::refused) << bad.name << ", step " << step;
      EXPECT_EQ(outcome.status, bad.status) << bad.name << ", step " << step;
    }
  }
  EXPECT_GE(corpus.size(), 70u);
}

TEST(RequestParser, HoldsTheHeaderToItsLimit) {
  const ParserLimits limits{.max_header_bytes = 100};
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const std::string fits = head + std::string(100 - head.size() - 4, 'x') + "\r\n\r\n";
  ASSERT_EQ(fits.size(), 100u);
  EXPECT_EQ(parse(fits, limits).state, State::complete);
  EXPECT_EQ(parse(head + std::string(100 - head.size() - 3, 'x') + "\r\n\r\n", limits).status, 431);
  EXPECT_EQ(parse(std::string(101, 'x'), limits).status, 431);
}

TEST(RequestParser, HoldsTheNumberOfFieldsToItsLimit) {
  std::string fields;
  for (int i = 0; i < 9; ++i) fields += fmt::format("X-{}: 1\r\n", i);
  EXPECT_EQ(parse(post(fields, ""), {.max_num_headers = 10}).state, State::complete);
  EXPECT_EQ(parse(post(fields + "X-9: 1\r\n", ""), {.max_num_headers = 10}).status, 431);
}

TEST(RequestParser, HoldsTheBodyToItsLimit) {
  const ParserLimits limits{.max_body_bytes = 8};
  EXPECT_EQ(parse(post("Content-Length: 8\r\n", "12345678"), limits).state, State::complete);
  EXPECT_EQ(parse(post("Content-Length: 9\r\n", ""), limits).status, 413);
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  EXPECT_EQ(parse(post(chunked, "8\r\n12345678\r\n0\r\n\r\n"), limits).state, State::complete);
  EXPECT_EQ(parse(post(chunked, "8\r\n12345678\r\n1\r\n9\r\n0\r\n\r\n"), limits).status, 413);
}

TEST(RequestParser, RefusesAChunkExtensionOrTrailerWithoutEnd) {
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  EXPECT_EQ(parse(post(chunked, "1;" + std::string(40'000, 'x')), {}, 1024).status, 400);
  EXPECT_EQ(parse(post(chunked, "0\r\nX: " + std::string(40'000, 'x')), {}, 1024).status, 400);
}

TEST(RequestParser, WantsAContinueOnlyBeforeTheBodyBegins) {
  RequestParser parser({});
  const std::string header = post("Expect: 100-Continue\r\nContent-Length: 2\r\n", "");
  EXPECT_EQ(parser.feed(header), header.size());
  EXPECT_TRUE(parser.wants_continue());
  EXPECT_EQ(parser.feed("a"), 1u);
  EXPECT_FALSE(parser.wants_continue());
}

}  // namespace
}  // namespace veloz::net
