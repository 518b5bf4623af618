// SPDX-License-Identifier: Apache-2.0
// Hostile tokenizers: whatever the bytes of tokenizer.json or tokenizer.model, reading them throws
// Error or gives a tokenizer, and what that makes of any text decodes alike at once and token by
// token. The first byte chooses the format, and whether the rest is the file itself or a list of
// edits to a good one (so that deep fields are reached). tests/golden/text holds good seeds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fuzz/edits.h"
#include "support/sentencepiece_bytes.h"
#include "text/detokenizer.h"
#include "text/json_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"

namespace veloz {
namespace {

constexpr std::string_view kGoodJson = R"({
  "added_tokens": [
    {"id": 9, "content": "<s>", "special": true, "normalized": false, "lstrip": true},
    {"id": 10, "content": "<x>", "rstrip": true, "single_word": true, "normalized": true}],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"},
    {"type": "Prepend", "prepend": "_"}, {"type": "Strip", "strip_left": true},
    {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": "_"}]},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "'s|\\p{L}+|\\p{N}{1,3}"}, "behavior": "Isolated"},
    {"type": "Digits", "individual_digits": true},
    {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": true},
    {"type": "ByteLevel", "add_prefix_space": true, "use_regex": true}]},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [9]}}},
  "decoder": {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "_"}, "content": " "}, {"type": "ByteFallback"},
    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
  "model": {"type": "BPE", "unk_token": "?", "fuse_unk": true, "byte_fallback": true,
    "ignore_merges": true,
    "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3, "_": 4, "_ab": 5, "<0xC3>": 6, "<0xA9>": 7, "1": 8},
    "merges": [["a", "b"], "_ ab"]}})";

constexpr std::string_view kTexts[] = {"", "ab  <s> ab<x>1234's _\t\n",
                                       "\xC3\xA9 e\xCC\x81\xCC\xA3 \xED\x95\x9C\xFF\xE2\x96\x81"
                                       "E",
                                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"};

std::string good_model() {
  return test::piece_field("<unk>", 0, 2) + test::piece_field("<s>", 0, 3) +
         test::piece_field("ab", -1) +
         test::piece_field(
             "\xE2\x96\x81"
             "ab",
             -2) +
         test::piece_field("\xE2\x96\x81", -3) + test::piece_field("a", -4) +
         test::piece_field("b", -5, 5) + test::piece_field("E", -6) +
         test::piece_field("<x>", 0, 4) + test::kBpeField +
         test::bytes_field(3, test::bytes_field(2, test::capital_e_charsmap()) +
                                  test::varint_field(3, 1) + test::varint_field(4, 0));
}

std::unique_ptr<text::Tokenizer> read_any(std::string_view data) {
  static const std::string model = good_model();
  const std::string_view rest = data.substr(1);
  switch (static_cast<unsigned char>(data[0]) % 4) {
    case 0:
      return text::parse_tokenizer_json(rest);
    case 1:
      return text::parse_tokenizer_json(test::edited(std::string(kGoodJson), rest));
    case 2:
      return text::parse_sentencepiece(rest, {});
    default:
      return text::parse_sentencepiece(test::edited(model, rest), {});
  }
}

void use(const text::Tokenizer& tokenizer) {
  for (const std::string_view text : kTexts) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    for (const int32_t id : ids)
      VELOZ_CHECK(tokenizer.has_token(id), "encoding gives {}, which is no token", id);
    text::Detokenizer detokenizer(tokenizer, text::SpecialTokens::skip);
    std::string streamed;
    for (const int32_t id : ids) streamed += detokenizer.push(id);
    streamed += detokenizer.finish();
    VELOZ_CHECK(streamed == tokenizer.decode(ids), "a stream that differs");
  }
}

}  // namespace
}  // namespace veloz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    veloz::use(*veloz::read_any({reinterpret_cast<const char*>(data), size}));
  } catch (const veloz::Error& e) {
    // Anything else, a failed check included, is a bug.
    if (e.kind() == veloz::ErrorKind::internal) std::abort();
  }
  return 0;
}
