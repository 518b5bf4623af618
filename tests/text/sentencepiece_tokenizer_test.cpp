// SPDX-License-Identifier: Apache-2.0
// What a tokenizer.model and the files beside it may not be. That it gives the right ids is
// tokenizer_golden_test's.
#include "text/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/files.h"
#include "support/expect_error.h"
#include "support/sentencepiece_bytes.h"
#include "text/sentencepiece_charsmap.h"
#include "text/tokenizer_goldens.h"

namespace veloz::text {
namespace {

using test::Ids;
using veloz::test::bytes_field;
using veloz::test::capital_e_charsmap;
using veloz::test::kBpeField;
using veloz::test::little_endian;
using veloz::test::piece_field;
using veloz::test::throws_error;
using veloz::test::varint_field;

std::string golden_model(const char* pipeline) {
  return read_text_file(test::tokenizer_golden_dir() / pipeline / "tokenizer.model", 1 << 20);
}

const std::string kUnknown = piece_field("<unk>", 0, 2);

std::unique_ptr<Tokenizer> parse(const std::string& model, const TokenizerConfig& config = {}) {
  return parse_sentencepiece(model, config);
}

void expect_refused(const std::string& model, std::string_view part,
                    ErrorKind kind = ErrorKind::corrupt_data) {
  EXPECT_TRUE(throws_error(kind, {part}, [&] { parse(model); }));
}

TEST(SentencePieceTokenizer, AFewPiecesAreATokenizer) {
  const auto tokenizer = parse(kUnknown + piece_field("\u2581a", -1) + piece_field("\u2581", -2) +
                               piece_field("a", -3) + piece_field("b", -4) + kBpeField);
  EXPECT_EQ(tokenizer->encode("a ba?"), (Ids{1, 2, 4, 3, 0}));
  EXPECT_EQ(tokenizer->decode(Ids{1, 2, 4, 3}), "a ba");
  EXPECT_EQ(tokenizer->vocab_size(), 5);
  EXPECT_EQ(tokenizer->token_id("b"), 4);
}

TEST(SentencePieceTokenizer, RefusesOtherAlgorithmsByName) {
  const auto kind = ErrorKind::unsupported;
  expect_refused(kUnknown, "SentencePiece Unigram is not supported", kind);
  expect_refused(kUnknown + bytes_field(2, varint_field(3, 1)), "SentencePiece Unigram", kind);
  expect_refused(kUnknown + bytes_field(2, varint_field(3, 3)), "SentencePiece Word", kind);
  expect_refused(kUnknown + bytes_field(2, varint_field(3, 4)), "SentencePiece Char", kind);
  expect_refused(kUnknown + bytes_field(2, varint_field(3, 9)), "model_type 9 is no algorithm");
  expect_refused(kUnknown + kBpeField + bytes_field(2, varint_field(24, 1)),
                 "treat_whitespace_as_suffix", kind);
  expect_refused(kUnknown + kBpeField + bytes_field(3, varint_field(5, 0)), "escape_whitespaces",
                 kind);
  expect_refused(kUnknown + kBpeField + bytes_field(5, varint_field(3, 0)), "denormalization",
                 kind);
}

TEST(SentencePieceTokenizer, RefusesPiecesThatAreNone) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  expect_refused("", "the model has no pieces");
  expect_refused(piece_field("a") + kBpeField, "0 unknown pieces");
  expect_refused(kUnknown + piece_field("x", 0, 2) + kBpeField, "2 unknown pieces");
  expect_refused(kUnknown + piece_field("") + kBpeField, "piece 1 has 0 bytes");
  expect_refused(kUnknown + piece_field(std::string(2049, 'a')) + kBpeField,
                 "piece 1 has 2049 bytes");
  expect_refused(kUnknown + piece_field("\xff") + kBpeField, "piece 1 is no UTF-8");
  expect_refused(kUnknown + piece_field(std::string(1, '\0')) + kBpeField, "without NUL");
  expect_refused(kUnknown + piece_field("a", kNan) + kBpeField, "score of piece 1 is not finite");
  expect_refused(kUnknown + piece_field("a", -kInfinity) + kBpeField, "not finite");
  expect_refused(kUnknown + piece_field("a", 0, 7) + kBpeField, "piece 1 has the unknown type 7");
  expect_refused(kUnknown + piece_field("a") + piece_field("a") + kBpeField,
                 "pieces 1 and 2 are both \"a\"");
  expect_refused(kUnknown + piece_field("<0x4>", 0, 6) + kBpeField, "byte piece 1 is \"<0x4>\"");
  expect_refused(kUnknown + piece_field("<0x41>", 0, 6) + kBpeField,
                 "1 byte pieces, with byte_fallback false");
  expect_refused(kUnknown + kBpeField + bytes_field(2, varint_field(35, 1)),
                 "0 byte pieces, with byte_fallback true");
}

TEST(SentencePieceTokenizer, RefusesBytesThatAreNoMessage) {
  expect_refused("{\"model\": 1}", "wire type");
  expect_refused(std::string(1, '\0'), "a protobuf field has the number 0");
  expect_refused(std::string(11, '\xff'), "integer is longer than 10 bytes");
  expect_refused("\x0a\x7f", "a protobuf field of 127 bytes, where the message has 0 left");
  expect_refused("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "18446744073709551615 bytes");
  expect_refused(varint_field(1, 5), "\"pieces\" is no string or message");
  expect_refused(kUnknown + bytes_field(2, bytes_field(3, "x")), "\"model_type\" is no integer");
  expect_refused(bytes_field(1, bytes_field(1, "a") + varint_field(2, 1)), "\"score\" is no float");
}

TEST(SentencePieceTokenizer, AnyPrefixOfAFileIsReadOrRefused) {
  const std::string whole = golden_model("sentencepiece-collapsing");
  size_t num_refused = 0;
  for (size_t size = 0; size < whole.size(); size += 3) {
    try {
      parse(whole.substr(0, size))->encode("The caf\u00e9 \ufb01 \u2460 two");
    } catch (const Error& e) {
      num_refused += e.kind() == ErrorKind::corrupt_data || e.kind() == ErrorKind::unsupported;
    }
  }
  EXPECT_GT(num_refused, whole.size() / 3 * 9 / 10);
}

TEST(SentencePieceTokenizer, AFlippedByteIsReadOrRefused) {
  const std::string whole = golden_model("sentencepiece-collapsing");
  for (size_t at = 0; at < whole.size(); at += 2) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    try {
      const auto tokenizer = parse(damaged);
      tokenizer->decode(
          tokenizer->encode("The caf\u00e9 e\u0301 \ufb01 \u2460 \u00bd two Veloz<sep>"));
    } catch (const Error& e) {
      EXPECT_NE(e.kind(), ErrorKind::internal) << at << ": " << e.message();
    }
  }
}

TEST(SentencePieceTokenizer, RefusesNormalisationRulesThatLeadAstray) {
  const auto refused = [](const std::string& blob, std::string_view part) {
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"precompiled_charsmap", part},
                             [&] { check_sentencepiece_charsmap(blob); }));
  };
  std::string trie(1024, '\0');  // 256 units that lead to each other
  const std::string size = little_endian(1024);
  check_sentencepiece_charsmap("");
  check_sentencepiece_charsmap(size + trie + std::string("a\0", 2));
  refused("abc", "3 bytes are too few");
  refused(little_endian(1028) + trie, "a trie of 1028 bytes in 1028");
  refused(little_endian(1023) + trie, "a trie of 1023 bytes");
  refused(little_endian(0) + trie, "a trie of 0 bytes");
  refused(size + trie, "the last replacement does not end");
  refused(size + trie + "ab", "the last replacement does not end");
  refused(size + trie + std::string(257, 'a') + '\0', "a replacement of 257 bytes");
  refused(size + trie + std::string("\xff\0", 2), "a replacement is no UTF-8");
  trie.replace(40, 4, little_endian(1u << 31 | 2));
  refused(size + trie + std::string("a\0", 2), "a replacement at 2 of 2");
  trie.replace(40, 4, little_endian(256u << 10));
  refused(size + trie + std::string("a\0", 2), "unit 10 of the trie leads out of its 256 units");
  trie.replace(40, 4, little_endian(1u << 8));
  refused(size + trie + std::string("a\0", 2), "unit 10 of the trie has no replacement");
}

TEST(SentencePieceTokenizer, AppliesTheModelsOwnRules) {
  const auto tokenizer = parse(kUnknown + piece_field("E") + piece_field("\u2581", -1) + kBpeField +
                               bytes_field(3, bytes_field(2, capital_e_charsmap())));
  EXPECT_EQ(tokenizer->encode("eE"), (Ids{2, 1, 1}));
}

TEST(SentencePieceTokenizer, AddedTokensMustAgreeWithTheModel) {
  const std::string model = kUnknown + piece_field("a") + kBpeField;
  const auto expect = [&](AddedToken token, std::string_view part) {
    TokenizerConfig config;
    config.added_tokens = {std::move(token)};
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {part}, [&] { parse(model, config); }));
  };
  expect({.id = 5, .content = "a"}, "added token \"a\" has id 5, and 1 in tokenizer.model");
  expect({.id = 1, .content = "b"}, "added token \"b\" has id 1, which is another token's");
}

TEST(SentencePieceTokenizer, BosAndEosStandAroundTheTextAsConfigured) {
  const std::string model = kUnknown + piece_field("<s>", 0, 3) + piece_field("</s>", 0, 3) +
                            piece_field("\u2581a", -1) + piece_field("\u2581", -2) +
                            piece_field("a", -3) + kBpeField;
  EXPECT_EQ(parse(model)->encode("a"), (Ids{1, 3}));
  EXPECT_EQ(parse(model)->encode(""), Ids{1});
  EXPECT_EQ(parse(model)->encode("a</s>a"), (Ids{1, 3, 2, 3}));
  EXPECT_EQ(parse(model)->encode("a", {.add_special_tokens = false}), Ids{3});
  TokenizerConfig config;
  config.adds_bos = false;
  config.adds_eos = true;
  EXPECT_EQ(parse(model, config)->encode("a"), (Ids{3, 2}));
  config.adds_bos = true;
  config.bos = "</s>";
  EXPECT_EQ(parse(model, config)->encode("a"), (Ids{2, 3, 2}));
  EXPECT_EQ(parse(model)->decode(Ids{1, 3, 2}), "a");
  EXPECT_EQ(parse(model)->decode(Ids{1, 3, 2}, false), "<s> a</s>");
}

TEST(SentencePieceTokenizer, ALongRunOfUnknownCharactersIsRefusedWithoutByteFallback) {
  const auto tokenizer = parse(kUnknown + piece_field("\u2581") + kBpeField);
  std::string run;
  for (int i = 0; i < 1 << 15; ++i) run += "\u0301";
  EXPECT_EQ(tokenizer->encode(run), (Ids{1, 0}));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"more than 32768 characters in a row"},
                           [&] { tokenizer->encode(run + "\u0301"); }));
}

TEST(SentencePieceTokenizer, ALongRunOfOneLetterIsNotQuadratic) {
  const auto tokenizer = parse(golden_model("sentencepiece"));
  const std::string run(200000, 'e');
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(run)), run);
}

}  // namespace
}  // namespace veloz::text
