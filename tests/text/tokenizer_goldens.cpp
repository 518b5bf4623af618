// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_goldens.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "text/detokenizer.h"
#include "text/utf8.h"

namespace veloz::text::test {
namespace {

using nlohmann::json;

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string from_base64(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int num_bits = 0;
  for (const char c : text) {
    const size_t digit = kBase64.find(c);
    if (digit == std::string_view::npos) break;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    num_bits += 6;
    if (num_bits < 8) continue;
    num_bits -= 8;
    bytes.push_back(static_cast<char>(bits >> num_bits & 0xff));
  }
  return bytes;
}

std::string stream(const Tokenizer& tokenizer, const Ids& ids, SpecialTokens special) {
  Detokenizer detokenizer(tokenizer, special);
  std::string text;
  const auto add = [&](const std::string& part) {
    EXPECT_EQ(to_valid_utf8(part), part) << "half a character from " << fmt::format("{}", ids);
    text += part;
  };
  for (const int32_t id : ids) add(detokenizer.push(id));
  add(detokenizer.finish());
  return text;
}

/// Decoded texts as the script recorded them: only where they are not what it guessed.
GoldenTexts with_guesses(const json& golden, const std::string& kind,
                         std::vector<std::string> guesses) {
  GoldenTexts texts{unpack_ids(golden[kind + "ids"].get<std::string>()), {}, {}};
  const std::string prefix = golden["decoded_prefix"];
  guesses.resize(texts.ids.size());
  for (size_t i = 0; i < guesses.size(); ++i) {
    const std::string key = fmt::format("{}", i);
    const std::string keep = golden[kind + "keep"].value(key, guesses[i]);
    const std::string rest = keep.starts_with(prefix) ? keep.substr(prefix.size()) : keep;
    texts.keep.push_back(keep);
    texts.skip.push_back(golden[kind + "skip"].value(key, rest));
  }
  return texts;
}

}  // namespace

std::filesystem::path tokenizer_golden_dir() {
  return std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden/text";
}

json read_tokenizer_golden(const std::filesystem::path& name) {
  return json::parse(read_text_file(tokenizer_golden_dir() / name, uint64_t{16} << 20));
}

std::vector<std::string> awkward_strings() {
  return read_tokenizer_golden("strings.json")["strings"].get<std::vector<std::string>>();
}

std::vector<Ids> unpack_ids(std::string_view packed) {
  const std::string bytes = from_base64(packed);
  size_t at = 0;
  const auto read = [&] {
    int32_t number = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes.at(at++));
      number |= (byte & 0x7f) << shift;
      if (byte < 0x80) return number;
    }
  };
  std::vector<Ids> lists;
  while (at < bytes.size()) {
    Ids& list = lists.emplace_back(static_cast<size_t>(read()));
    for (int32_t& id : list) id = read();
  }
  return lists;
}

GoldenTexts golden_texts(const json& golden, const std::vector<std::string>& texts) {
  std::vector<std::string> guesses;
  for (const std::string& text : texts)
    guesses.push_back(golden["decoded_prefix"].get<std::string>() + text);
  return with_guesses(golden, "", guesses);
}

GoldenTexts random_golden_texts(const json& golden) { return with_guesses(golden, "random_", {}); }

void expect_encodes(const Tokenizer& tokenizer, const GoldenTexts& golden,
                    const std::vector<std::string>& texts) {
  ASSERT_EQ(golden.ids.size(), texts.size());
  size_t num_wrong = 0;
  for (size_t i = 0; i < texts.size() && num_wrong < 10; ++i) {
    const Ids ids = tokenizer.encode(texts[i]);
    if (ids == golden.ids[i]) continue;
    ++num_wrong;
    ADD_FAILURE() << fmt::format("string {}, {}\nexpected {}\ngot      {}", i,
                                 json(texts[i]).dump(-1, ' ', true), golden.ids[i], ids);
  }
}

void expect_decodes(const Tokenizer& tokenizer, const GoldenTexts& golden) {
  for (size_t i = 0; i < golden.ids.size(); ++i) {
    const Ids& ids = golden.ids[i];
    const std::string what = fmt::format("list {}, {}", i, ids);
    ASSERT_EQ(tokenizer.decode(ids, false), golden.keep[i]) << what;
    ASSERT_EQ(tokenizer.decode(ids, true), golden.skip[i]) << what;
    ASSERT_EQ(stream(tokenizer, ids, SpecialTokens::keep), golden.keep[i]) << what;
    ASSERT_EQ(stream(tokenizer, ids, SpecialTokens::skip), golden.skip[i]) << what;
  }
}

}  // namespace veloz::text::test
