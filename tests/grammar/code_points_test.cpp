// SPDX-License-Identifier: Apache-2.0
#include "grammar/code_points.h"

#include <gtest/gtest.h>

#include <string>

#include "text/utf8.h"

namespace veloz::grammar {
namespace {

TEST(CodePointSet, JoinsRangesThatOverlapOrTouch) {
  const CodePointSet set({{'m', 'p'}, {'a', 'c'}, {'d', 'f'}, {'n', 'z'}});
  EXPECT_EQ(set.ranges(), (std::vector<CodePointSet::Range>{{'a', 'f'}, {'m', 'z'}}));
}

TEST(CodePointSet, HasNoSurrogates) {
  EXPECT_FALSE(CodePointSet::all().contains(0xd800));
  EXPECT_FALSE(CodePointSet::all().contains(0xdfff));
  EXPECT_TRUE(CodePointSet::all().contains(0xd7ff));
  EXPECT_TRUE(CodePointSet::all().contains(0xe000));
  EXPECT_EQ(CodePointSet({{0xd000, 0xdfff}}).ranges(),
            (std::vector<CodePointSet::Range>{{0xd000, 0xd7ff}}));
}

TEST(CodePointSet, ComplementsItself) {
  const CodePointSet set({{'a', 'c'}, {0x3b1, 0x3c9}, {0x10fff0, 0x10ffff}});
  EXPECT_EQ(set.complement().complement(), set);
  EXPECT_TRUE(CodePointSet::all().complement().empty());
  EXPECT_EQ(CodePointSet::all().without(set), set.complement());
}

/// Whether some sequence is made for these bytes; never more than one.
int num_matches(const std::vector<Utf8Sequence>& sequences, const std::string& bytes) {
  int matches = 0;
  for (const Utf8Sequence& sequence : sequences) {
    if (sequence.length != bytes.size()) continue;
    bool fits = true;
    for (size_t i = 0; i < bytes.size(); ++i)
      fits &= sequence.bytes[i].first <= static_cast<uint8_t>(bytes[i]) &&
              static_cast<uint8_t>(bytes[i]) <= sequence.bytes[i].last;
    matches += fits ? 1 : 0;
  }
  return matches;
}

TEST(CodePointSet, GivesTheUtf8OfItsMembersOnly) {
  const CodePointSet sets[] = {CodePointSet::all(), CodePointSet({{0x20, 0x7e}}),
                               CodePointSet({{0x7f, 0x80}, {0x7fe, 0x801}, {0xfffe, 0x10001}}),
                               CodePointSet({{0x1234, 0x23456}}),
                               CodePointSet({{0x3000, 0x3fff}, {0xd123, 0xe456}})};
  for (const CodePointSet& set : sets) {
    const auto sequences = utf8_sequences(set);
    for (uint32_t code_point = 0; code_point < 0x30000; ++code_point) {
      if (code_point >= 0xd800 && code_point <= 0xdfff) continue;
      std::string bytes;
      text::append_code_point(bytes, code_point);
      ASSERT_EQ(num_matches(sequences, bytes), set.contains(code_point) ? 1 : 0) << code_point;
    }
  }
}

}  // namespace
}  // namespace veloz::grammar
