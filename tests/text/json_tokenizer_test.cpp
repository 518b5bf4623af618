// SPDX-License-Identifier: Apache-2.0
// What a tokenizer.json may not be, and what its rarer fields mean. That the published pipelines
// give the right ids is tokenizer_golden_test's.
#include "text/json_tokenizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/expect_error.h"

namespace veloz::text {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;
using veloz::test::throws_error;

json tiny() {
  return json::parse(R"({
    "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
    "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5},
              "merges": [["a", "b"], ["b", "c"], ["ab", "c"]]}})");
}

/// `tiny` with the value at a JSON pointer replaced; `value` is JSON text.
std::string with(const char* pointer, std::string_view value) {
  json description = tiny();
  description[json::json_pointer(pointer)] = json::parse(value);
  return description.dump();
}

struct Refusal {
  const char* pointer;
  const char* value;
  std::vector<const char*> parts;
};

void expect_refusals(ErrorKind kind, const std::vector<Refusal>& refusals) {
  for (const Refusal& refusal : refusals)
    for (const char* part : refusal.parts)
      EXPECT_TRUE(throws_error(kind, {part},
                               [&] { parse_tokenizer_json(with(refusal.pointer, refusal.value)); }))
          << refusal.pointer << " = " << refusal.value;
}

TEST(JsonTokenizer, NamesTheComponentThatIsNotSupported) {
  expect_refusals(
      ErrorKind::unsupported,
      {{"/model/type", R"("Unigram")", {"model \"Unigram\"", "supported are BPE"}},
       {"/model/type", R"("WordPiece")", {"model \"WordPiece\""}},
       {"/model/dropout", "0.1", {"\"dropout\""}},
       {"/model/end_of_word_suffix", R"("</w>")", {"\"end_of_word_suffix\""}},
       {"/model/continuing_subword_prefix", R"("##")", {"\"continuing_subword_prefix\""}},
       {"/normalizer", R"({"type": "BertNormalizer"})", {"normalizer \"BertNormalizer\"", "NFKC"}},
       {"/normalizer",
        R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Precompiled"}]})",
        {"normalizer \"Precompiled\""}},
       {"/pre_tokenizer",
        R"({"type": "BertPreTokenizer"})",
        {"pre-tokenizer \"BertPreTokenizer\""}},
       {"/pre_tokenizer",
        R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Glued"})",
        {"split behavior \"Glued\""}},
       {"/pre_tokenizer",
        R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"})",
        {"prepend_scheme \"last\""}},
       {"/pre_tokenizer",
        R"({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"}]})",
        {"first, after another one"}},
       {"/post_processor", R"({"type": "RobertaProcessing"})", {"\"RobertaProcessing\""}},
       {"/post_processor",
        R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}},
            {"Sequence": {"id": "A"}}]})",
        {"2 texts"}},
       {"/decoder", "null", {"decoder \"null\""}},
       {"/decoder", R"({"type": "WordPiece"})", {"decoder \"WordPiece\""}},
       {"/decoder",
        R"({"type": "Sequence", "decoders": [{"type": "Strip", "content": " ", "start": 1}]})",
        {"Strip before Fuse"}},
       {"/decoder",
        R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 1}]})",
        {"anything but leading spaces"}},
       {"/decoder",
        R"({"type": "Sequence", "decoders": [{"type": "ByteFallback"},
            {"type": "Replace", "pattern": {"String": "_"}, "content": " "}]})",
        {"Replace after ByteFallback"}},
       {"/decoder",
        R"({"type": "Replace", "pattern": {"Regex": "_"}, "content": " "})",
        {"Replace with a Regex"}},
       {"/decoder",
        R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteLevel"}]})",
        {"ByteLevel after another decoder"}},
       {"/decoder",
        R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
            {"type": "Metaspace", "replacement": "_"}]})",
        {"Metaspace after another decoder"}},
       {"/decoder",
        R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]})",
        {"ByteFallback after another decoder"}}});
}

TEST(JsonTokenizer, RefusesFieldsOfTheWrongTypeByName) {
  expect_refusals(
      ErrorKind::corrupt_data,
      {{"/model", "[]", {"no \"model\""}},
       {"/model/vocab", "[]", {"no \"vocab\""}},
       {"/model/vocab/a", "\"0\"", {"\"0\" is no token id"}},
       {"/model/vocab/a", "-1", {"-1 is no token id"}},
       {"/model/vocab/a", "0.5", {"0.5 is no token id"}},
       {"/model/merges", "{}", {"no \"merges\""}},
       {"/model/merges/1", "7", {"merge 1 is no pair"}},
       {"/model/merges/1", R"("ab")", {"merge 1 is no pair"}},
       {"/model/merges/1", R"(["a", "b", "c"])", {"merge 1 is no pair"}},
       {"/model/byte_fallback", "1", {"\"byte_fallback\" is no boolean"}},
       {"/model/unk_token", "3", {"\"unk_token\" is missing or no string"}},
       {"/model/unk_token", R"("<unk>")", {"unk_token \"<unk>\" is no token"}},
       {"/normalizer", "7", {"a component has no type"}},
       {"/normalizer", R"({"type": "Sequence"})", {"no \"normalizers\""}},
       {"/normalizer", R"({"type": "Prepend"})", {"\"prepend\" is missing"}},
       {"/normalizer", R"({"type": "Replace", "content": ""})", {"\"pattern\" is neither"}},
       {"/pre_tokenizer",
        R"({"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"})",
        {"pattern \"(a\" is wrong at byte 2", "missing closing parenthesis"}},
       {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": ""})", {"empty replacement"}},
       {"/post_processor", R"({"type": "TemplateProcessing"})", {"no \"single\""}},
       {"/post_processor",
        R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]})",
        {"\"<s>\", which is none of its special_tokens"}},
       {"/post_processor",
        R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}},
            {"Sequence": {"id": "A"}}], "special_tokens": {"<s>": {"ids": [77]}}})",
        {"adds id 77, which is no token"}},
       {"/post_processor",
        R"({"type": "TemplateProcessing", "single": ["$A"]})",
        {"neither Sequence nor SpecialToken"}},
       {"/decoder",
        R"({"type": "Replace", "pattern": {"String": ""}, "content": " "})",
        {"empty pattern"}},
       {"/decoder",
        R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": -1}]})",
        {"\"start\" of Strip is no count up to 1024"}},
       {"/added_tokens", "{}", {"\"added_tokens\" is no list"}},
       {"/added_tokens", R"([{"content": "x"}])", {"an added token has no id"}},
       {"/added_tokens", R"([{"id": 9, "content": ""}])", {"added token 9 has 0 bytes"}},
       {"/added_tokens",
        R"([{"id": 9, "content": "x", "lstrip": "yes"}])",
        {"\"lstrip\" is no boolean"}}});
}

TEST(JsonTokenizer, RefusesMergesOfTokensThatAreNotThere) {
  expect_refusals(ErrorKind::corrupt_data,
                  {{"/model/merges/1", R"(["b", "z"])", {"merge 1 (\"b\" + \"z\") names \"z\""}},
                   {"/model/merges/2", R"(["c", "c"])", {"names \"cc\", which is no token"}}});
}

TEST(JsonTokenizer, RefusesTwoTokensForOneId) {
  expect_refusals(ErrorKind::corrupt_data,
                  {{"/model/vocab/b", "0", {"tokens \"a\" and \"b\" have the same id 0"}},
                   {"/added_tokens",
                    R"([{"id": 3, "content": "x"}])",
                    {"added token \"x\" and \"ab\" have the same id 3"}},
                   {"/added_tokens",
                    R"([{"id": 9, "content": "x"}, {"id": 9, "content": "y"}])",
                    {"added token \"y\" and \"x\" have the same id 9"}},
                   {"/added_tokens",
                    R"([{"id": 9, "content": "ab"}])",
                    {"added token \"ab\" has id 9, and 3 in the vocabulary"}},
                   {"/added_tokens",
                    R"([{"id": 8, "content": "x"}, {"id": 9, "content": "x"}])",
                    {"added token \"x\" is there twice"}}});
}

TEST(JsonTokenizer, BoundsWhatAFileMayAskFor) {
  expect_refusals(ErrorKind::corrupt_data,
                  {{"/model/vocab/a", "1048576", {"1048576 is no token id (0 to 1048575)"}},
                   {"/model/vocab/a", "18446744073709551615", {"no token id"}},
                   {"/added_tokens", R"([{"id": 4000000000, "content": "x"}])", {"no token id"}}});
  const std::string long_token =
      fmt::format(R"([{{"id": 9, "content": "{}"}}])", std::string(1025, 'x'));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"1025 bytes (1 to 1024)"},
                           [&] { parse_tokenizer_json(with("/added_tokens", long_token)); }));
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"nested deeper than 64"},
                           [&] { parse_tokenizer_json(deep); }));
  std::string many = "[0";
  for (int i = 0; i < (1 << 23); ++i) many += ",0";
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"more than 8388608 values"},
                           [&] { parse_tokenizer_json(many + "]"); }));
  const std::string pattern =
      fmt::format(R"({{"type": "Split", "pattern": {{"Regex": "{}"}}, "behavior": "Isolated"}})",
                  std::string(70000, 'x'));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"a pattern of 70000 bytes"},
                           [&] { parse_tokenizer_json(with("/pre_tokenizer", pattern)); }));
}

TEST(JsonTokenizer, RefusesAnyPrefixOfAFile) {
  const std::string whole = tiny().dump();
  parse_tokenizer_json(whole);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"no valid JSON"}, [&] {
      parse_tokenizer_json(whole.substr(0, size));
    })) << size;
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"no JSON object"},
                           [] { parse_tokenizer_json("[]"); }));
}

TEST(JsonTokenizer, APatternThatExplodesEndsWithAnError) {
  const auto tokenizer = parse_tokenizer_json(
      with("/pre_tokenizer",
           R"({"type": "Split", "pattern": {"Regex": "(?:a|aa|b)+c"}, "behavior": "Isolated"})"));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"splitting the text failed", "limit"},
                           [&] { tokenizer->encode(std::string(5000, 'a') + "xc"); }));
}

TEST(JsonTokenizer, TheLowestRankIsMergedFirstAndTheLeftmostAmongEquals) {
  EXPECT_EQ(parse_tokenizer_json(tiny().dump())->encode("abcbcab"), (Ids{5, 4, 3}));
  // A pair that is listed twice has its last rank.
  const std::string again = with("/model/merges", R"([["a", "b"], ["b", "c"], ["a", "b"]])");
  EXPECT_EQ(parse_tokenizer_json(again)->encode("abc"), (Ids{0, 4}));
}

TEST(JsonTokenizer, MergesAreReadAsPairsAndAsOneString) {
  EXPECT_EQ(parse_tokenizer_json(with("/model/merges", R"(["a b", "ab c"])"))->encode("abc"),
            Ids{5});
}

TEST(JsonTokenizer, TemplatesNestAroundTheText) {
  const auto tokenizer = parse_tokenizer_json(with("/post_processor", R"({"type": "Sequence",
      "processors": [
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a", "type_id": 0}},
           {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "b"}}],
         "special_tokens": {"a": {"id": "a", "ids": [0, 0]}, "b": {"id": "b", "ids": [1]}}},
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "c"}},
           {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "c"}}],
         "special_tokens": {"c": {"id": "c", "ids": [2]}}}]})"));
  EXPECT_EQ(tokenizer->encode("abc"), (Ids{2, 0, 0, 5, 1, 2}));
  EXPECT_EQ(tokenizer->encode("abc", {.add_special_tokens = false}), Ids{5});
}

TEST(JsonTokenizer, ALongRunOfOneLetterIsNotQuadratic) {
  json description = tiny();
  description["model"]["vocab"]["aa"] = 6;
  description["model"]["vocab"]["aaaa"] = 7;
  description["model"]["merges"] = json::parse(R"(["a a", "aa aa"])");
  const auto tokenizer = parse_tokenizer_json(description.dump());
  EXPECT_EQ(tokenizer->encode(std::string(400001, 'a')).size(), 100001u);
}

TEST(JsonTokenizer, ALongRunOfMarksIsOrderedAndNotQuadratic) {
  std::string marks, ordered;
  for (int i = 0; i < 100000; ++i) marks += "\u0301\u0323";
  for (int i = 0; i < 100000; ++i) ordered += "\u0323";
  json description = json::parse(with("/normalizer", R"({"type": "NFD"})"));
  description["model"]["vocab"]["\u0323"] = 6;
  description["model"]["vocab"]["\u0301"] = 7;
  const Ids ids = parse_tokenizer_json(description.dump())->encode(marks);
  EXPECT_EQ(ids.size(), 200000u);
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST(JsonTokenizer, IllFormedTextIsReadAsReplacementCharacters) {
  const auto tokenizer = parse_tokenizer_json(with("/model/vocab/\uFFFD", "6"));
  EXPECT_EQ(tokenizer->encode("a\xff\xe2\x82z\xed\xa0\x80"), (Ids{0, 6, 6, 6, 6, 6}));
}

TEST(JsonTokenizer, HolesInTheIdsAreNoTokens) {
  const auto tokenizer = parse_tokenizer_json(
      with("/added_tokens", R"([{"id": 9, "content": "<x>", "special": true}])"));
  EXPECT_EQ(tokenizer->vocab_size(), 10);
  EXPECT_TRUE(tokenizer->has_token(9));
  EXPECT_TRUE(tokenizer->is_special(9));
  for (const int32_t id : {-1, 7, 10}) EXPECT_FALSE(tokenizer->has_token(id)) << id;
  EXPECT_EQ(tokenizer->token_id("<x>"), 9);
  EXPECT_EQ(tokenizer->token_id("ab"), 3);
  EXPECT_EQ(tokenizer->token_id("x"), std::nullopt);
  EXPECT_EQ(tokenizer->decode(Ids{0, 7, 9, -1, 100, 1}), "ab");
}

TEST(JsonTokenizer, ASpecialTokenThatIsNormalizedIsStillLeftOut) {
  json description = json::parse(with("/normalizer", R"({"type": "Lowercase"})"));
  description["added_tokens"] =
      json::parse(R"([{"id": 9, "content": "<X>", "special": true, "normalized": true}])");
  const auto tokenizer = parse_tokenizer_json(description.dump());
  EXPECT_EQ(tokenizer->encode("A<x>b<X>"), (Ids{0, 9, 1, 9}));
  EXPECT_EQ(tokenizer->decode(Ids{0, 9, 1}, false), "a<x>b");
  EXPECT_EQ(tokenizer->decode(Ids{0, 9, 1}, true), "ab");
}

}  // namespace
}  // namespace veloz::text
