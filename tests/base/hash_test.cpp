// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <gtest/gtest.h>

namespace veloz {
namespace {

std::string digest(std::string_view text) {
  StreamHasher hasher;
  hasher.update(text);
  return hasher.hex_digest();
}

// Values of the xxhsum tool: `printf '' | xxhsum -H3` and `-H128`.
TEST(Hash, HasTheKnownValuesOfXxh3) {
  EXPECT_EQ(xxh3_64({}), 0x2d06800538d394c2u);
  EXPECT_EQ(digest(""), "99aa06d3014798d86001c324468d497f");
}

TEST(Hash, StreamsInPiecesAsInOne) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 7 + i / 256);
  StreamHasher pieces;
  for (size_t at = 0; at < text.size(); at += 333)
    pieces.update(std::string_view(text).substr(at, 333));
  EXPECT_EQ(pieces.hex_digest(), digest(text));
  EXPECT_EQ(pieces.hex_digest(), digest(text));  // asking changes nothing
}

TEST(Hash, OneBitChangesIt) {
  const std::string text(100, 'x');
  std::string other = text;
  other[57] ^= 1;
  EXPECT_NE(digest(text), digest(other));
  EXPECT_NE(xxh3_64(std::as_bytes(std::span(text))), xxh3_64(std::as_bytes(std::span(other))));
}

TEST(Hash, AHasherMoves) {
  StreamHasher first;
  first.update("abc");
  StreamHasher second = std::move(first);
  second.update("def");
  EXPECT_EQ(second.hex_digest(), digest("abcdef"));
}

}  // namespace
}  // namespace veloz
