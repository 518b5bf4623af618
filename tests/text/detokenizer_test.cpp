// SPDX-License-Identifier: Apache-2.0
#include "text/detokenizer.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <algorithm>
#include <bitset>
#include <memory>
#include <random>
#include <vector>

namespace veloz::text {
namespace {

using Bytes = JoinRules::Bytes;
using Start = JoinRules::Start;

/// A vocabulary that a test writes down.
class FakePieces final : public TokenPieces {
 public:
  struct Entry {
    std::string text;
    bool is_byte = false;
    bool is_special = false;
  };
  FakePieces(JoinRules rules, std::vector<Entry> entries, bool drops_space_at_start = false)
      : rules_(rules), entries_(std::move(entries)), drops_space_at_start_(drops_space_at_start) {}

  JoinRules join_rules() const override { return rules_; }
  TokenPiece piece(int32_t id, bool is_start) const override {
    const Entry& entry = entries_[static_cast<size_t>(id)];
    const bool drops = drops_space_at_start_ && is_start && entry.text.starts_with(' ');
    return {.text = std::string_view(entry.text).substr(drops ? 1 : 0),
            .is_byte = entry.is_byte,
            .dropped_space = drops};
  }
  bool has_token(int32_t id) const override {
    return id >= 0 && static_cast<size_t>(id) < entries_.size();
  }
  bool is_special(int32_t id) const override {
    return entries_[static_cast<size_t>(id)].is_special;
  }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  JoinRules rules_;
  std::vector<Entry> entries_;
  bool drops_space_at_start_;
};

std::vector<std::string> stream(const TokenPieces& pieces, const std::vector<int32_t>& ids,
                                SpecialTokens special = SpecialTokens::skip) {
  Detokenizer detokenizer(pieces, special);
  std::vector<std::string> parts;
  for (const int32_t id : ids) parts.push_back(detokenizer.push(id));
  parts.push_back(detokenizer.finish());
  return parts;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t c = 0;
    const auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                       static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    if (size <= 0) return false;
    at += static_cast<size_t>(size);
  }
  return true;
}

/// Every proper start of a character's UTF-8, by enumeration.
class Starts {
 public:
  Starts() {
    for (int32_t c = 0x80; c <= 0x10FFFF; ++c) {
      utf8proc_uint8_t bytes[4];
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      const auto size = utf8proc_encode_char(c, bytes);
      one_.set(bytes[0]);
      if (size > 2) two_.set(static_cast<size_t>(bytes[0] << 8 | bytes[1]));
      if (size > 3) three_.set(static_cast<size_t>(bytes[0] << 16 | bytes[1] << 8 | bytes[2]));
    }
  }
  bool has(std::string_view bytes) const {
    size_t key = 0;
    for (const char byte : bytes) key = key << 8 | static_cast<uint8_t>(byte);
    return bytes.size() == 1   ? one_.test(key)
           : bytes.size() == 2 ? two_.test(key)
                               : three_.test(key);
  }

 private:
  std::bitset<256> one_;
  std::bitset<65536> two_;
  std::bitset<1 << 24> three_;
};

size_t character_at(std::string_view text, size_t at) {
  for (size_t size = 1; size <= 4 && at + size <= text.size(); ++size)
    if (is_utf8(text.substr(at, size))) return size;
  return 0;
}

constexpr const char* kReplacement = "\uFFFD";

// What Rust's from_utf8_lossy and Python's errors="replace" give, by its definition.
std::string lossy(std::string_view bytes) {
  static const auto starts = std::make_unique<const Starts>();
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    if (const size_t size = character_at(bytes, at)) {
      text += bytes.substr(at, size);
      at += size;
      continue;
    }
    size_t size = 1;
    for (size_t longer = 1; longer <= 3 && at + longer <= bytes.size(); ++longer)
      if (starts->has(bytes.substr(at, longer))) size = longer;
    text += kReplacement;
    at += size;
  }
  return text;
}

std::string whole_run(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) text += kReplacement;
  return text;
}

std::string per_character(std::string_view bytes) {
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = character_at(bytes, at);
    text += size > 0 ? bytes.substr(at, size) : kReplacement;
    at += std::max<size_t>(size, 1);
  }
  return text;
}

/// Decodes at once: collects each run of byte tokens (all, where all text is bytes) and converts
/// it.
std::string decode_at_once(const FakePieces& pieces, const std::vector<int32_t>& ids, Bytes bytes) {
  std::string text, run;
  const auto end_run = [&] {
    text += bytes == Bytes::whole_run ? whole_run(run) : per_character(run);
    run.clear();
  };
  std::string all;
  for (const int32_t id : ids) {
    const auto& entry = pieces.entries()[static_cast<size_t>(id)];
    all += entry.text;
    if (entry.is_byte) {
      run += entry.text;
    } else {
      end_run();
      text += entry.text;
    }
  }
  end_run();
  return bytes == Bytes::lossy ? lossy(all) : text;
}

TEST(Detokenizer, HoldsAnIncompleteCharacterBack) {
  const FakePieces pieces({}, {{"a"}, {"\xF0\x9F"}, {"\x98"}, {"\x80!"}});
  EXPECT_EQ(stream(pieces, {0, 1, 2, 3}), (std::vector<std::string>{"a", "", "", "😀!", ""}));
}

TEST(Detokenizer, EndsAnIncompleteCharacterAsOneReplacement) {
  const FakePieces pieces({}, {{"a\xF0\x9F\x98"}, {"b"}});
  EXPECT_EQ(stream(pieces, {0}), (std::vector<std::string>{"a", "\uFFFD"}));
  EXPECT_EQ(stream(pieces, {0, 1}), (std::vector<std::string>{"a",
                                                              "\uFFFD"
                                                              "b",
                                                              ""}));
}

TEST(Detokenizer, SkipsSpecialTokensOnlyWhenAsked) {
  const FakePieces pieces({}, {{"a"}, {"<s>", false, true}});
  EXPECT_EQ(joined(stream(pieces, {1, 0, 1})), "a");
  EXPECT_EQ(joined(stream(pieces, {1, 0, 1}, SpecialTokens::keep)), "<s>a<s>");
}

TEST(Detokenizer, LeavesOutIdsWithoutAToken) {
  const FakePieces pieces({}, {{"a"}});
  EXPECT_EQ(joined(stream(pieces, {-1, 0, 7, 0})), "aa");
}

TEST(Detokenizer, HoldsAnOpenRunOfByteTokensBecauseItsEndMaySpoilIt) {
  const FakePieces pieces({.bytes = Bytes::whole_run},
                          {{"a"}, {"\xC3", true}, {"\xA9", true}, {"\xFF", true}});
  EXPECT_EQ(stream(pieces, {1, 2, 0}), (std::vector<std::string>{"", "", "éa", ""}));
  EXPECT_EQ(stream(pieces, {1, 2, 3, 1, 0}),
            (std::vector<std::string>{"", "", "\uFFFD\uFFFD\uFFFD", "\uFFFD", "a", ""}));
  EXPECT_EQ(stream(pieces, {1, 2}), (std::vector<std::string>{"", "", "é"}));
  EXPECT_EQ(stream(pieces, {1, 0}), (std::vector<std::string>{"",
                                                              "\uFFFD"
                                                              "a",
                                                              ""}));
}

TEST(Detokenizer, StripsSpacesFromTheStartOfTheWholeText) {
  const FakePieces pieces({.bytes = Bytes::whole_run, .num_leading_spaces_stripped = 1},
                          {{" a"}, {" "}, {""}, {" ", true}});
  EXPECT_EQ(joined(stream(pieces, {0, 0})), "a a");
  EXPECT_EQ(joined(stream(pieces, {1, 0})), " a");
  EXPECT_EQ(joined(stream(pieces, {2, 0, 0})), "a a");
  EXPECT_EQ(joined(stream(pieces, {3, 0})), " a");
}

TEST(Detokenizer, DropsTheSpaceOfTheFirstTokenOnly) {
  const std::vector<FakePieces::Entry> entries = {{" a"}, {" "}, {"<s>", false, true}, {""}};
  const FakePieces first({.start = Start::first_token}, entries, true);
  EXPECT_EQ(joined(stream(first, {2, 0, 0})), "a a");
  EXPECT_EQ(joined(stream(first, {3, 0})), " a");
  const FakePieces empty({.start = Start::empty_text}, entries, true);
  EXPECT_EQ(joined(stream(empty, {3, 0, 0})), "a a");
  EXPECT_EQ(joined(stream(empty, {1, 0})), " a");
}

struct RandomCase {
  const char* name;
  Bytes bytes;
};

class DetokenizerProperty : public ::testing::TestWithParam<RandomCase> {};

TEST_P(DetokenizerProperty, JoinsToWhatDecodingAtOnceGivesAndNeverSplitsACharacter) {
  // Bytes that together make every kind of good and bad sequence, and some text.
  std::vector<FakePieces::Entry> entries;
  for (const int byte : {0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xC3, 0xDF, 0xE0,
                         0xE2, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF})
    entries.push_back({std::string(1, static_cast<char>(byte)), true});
  for (const char* text : {"é", " word", "日本", "😀", "\n", ""}) entries.push_back({text});
  const FakePieces pieces({.bytes = GetParam().bytes}, entries);
  for (uint32_t seed = 0; seed < 4000; ++seed) {
    std::mt19937 random(seed);
    std::vector<int32_t> ids;
    for (uint64_t i = 0, count = random() % 24; i < count; ++i)
      ids.push_back(static_cast<int32_t>(random() % entries.size()));
    const std::vector<std::string> parts = stream(pieces, ids);
    ASSERT_EQ(joined(parts), decode_at_once(pieces, ids, GetParam().bytes)) << "seed " << seed;
    for (const std::string& part : parts) ASSERT_TRUE(is_utf8(part)) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(All, DetokenizerProperty,
                         ::testing::Values(RandomCase{"Lossy", Bytes::lossy},
                                           RandomCase{"WholeRun", Bytes::whole_run},
                                           RandomCase{"PerCharacter", Bytes::per_character}),
                         [](const auto& case_info) { return case_info.param.name; });

TEST(Detokenizer, HoldsNoMoreThanACharacterOfEndlessBadBytes) {
  const FakePieces pieces({}, {{"\xF0\x9F"}});
  Detokenizer detokenizer(pieces);
  size_t num_given = 0;
  for (int i = 0; i < 100000; ++i) num_given += detokenizer.push(0).size();
  EXPECT_EQ(num_given, 99999u * 3);
}

}  // namespace
}  // namespace veloz::text
