// SPDX-License-Identifier: Apache-2.0
#include "benchmark/sse_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace veloz::benchmark {
namespace {

constexpr std::string_view kStream =
    ": a comment\n\ndata: one\n\nevent: x\r\ndata:two\r\ndata:  three\r\n\r\nid: 7\n\ndata: "
    "four\n\n"
    "data: unfinished\n";

std::vector<std::string> events(std::string_view stream, size_t piece) {
  SseParser parser;
  std::vector<std::string> all;
  for (size_t i = 0; i < stream.size(); i += piece)
    parser.feed(stream.substr(i, piece), [&](std::string_view data) { all.emplace_back(data); });
  return all;
}

TEST(SseParser, GivesTheDataOfEachFinishedEvent) {
  EXPECT_EQ(events(kStream, kStream.size()),
            (std::vector<std::string>{"one", "two\n three", "four"}));
}

TEST(SseParser, DoesNotDependOnHowTheBytesArrive) {
  for (size_t piece = 1; piece < 12; ++piece)
    EXPECT_EQ(events(kStream, piece), events(kStream, kStream.size())) << piece;
}

}  // namespace
}  // namespace veloz::benchmark
