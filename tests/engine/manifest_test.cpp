// SPDX-License-Identifier: Apache-2.0
#include "engine/manifest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/expect_error.h"
#include "support/tiny_engine.h"

namespace veloz::engine {
namespace {

using test::throws_error;
using Json = nlohmann::json;

Manifest full_manifest() {
  Manifest manifest = test::tiny_manifest();
  manifest.limits = test::tiny_model().plan.limits;
  manifest.files = {{"graph.txt", 3, {0x0123456789abcdef}},
                    {"plan.json", kChecksumChunk + 1, {1, 2}},
                    {"tokenizer/tokenizer.json", 0, {}},
                    {"weights.safetensors", 16, {UINT64_MAX}}};
  return manifest;
}

std::string manifest_with(const std::string& pointer, const Json& value) {
  Json json = Json::parse(print_manifest(full_manifest()));
  json[Json::json_pointer(pointer)] = value;
  return json.dump();
}

TEST(Manifest, ReadsBackWhatItPrints) {
  const Manifest manifest = full_manifest();
  const std::string text = print_manifest(manifest);
  const Manifest back = parse_manifest(text);
  EXPECT_EQ(print_manifest(back), text);
  EXPECT_EQ(back.model.generation_config, manifest.model.generation_config);
  EXPECT_EQ(back.model.eos_token_ids, manifest.model.eos_token_ids);
  EXPECT_EQ(back.model.bos_token_id, manifest.model.bos_token_id);
  EXPECT_EQ(back.model.pad_token_id, std::nullopt);
  EXPECT_EQ(back.pass_reports, manifest.pass_reports);
  EXPECT_EQ(back.limits, manifest.limits);
  ASSERT_EQ(back.files.size(), 4u);
  EXPECT_EQ(back.files[3].checksums, manifest.files[3].checksums);
}

TEST(Manifest, ReadsBackHowAModelIsQuantizedAndWhatItsEvaluationSaid) {
  Manifest manifest = full_manifest();
  manifest.quantization = {"int4", {{"4-bit weights", 28}, {"8-bit weights", 1}}};
  manifest.verdict = "PASS-99";
  const Manifest back = parse_manifest(print_manifest(manifest));
  EXPECT_EQ(back.quantization, manifest.quantization);
  EXPECT_EQ(back.verdict, "PASS-99");
}

TEST(Manifest, ReadsFormat10WhichKnewNoQuantization) {
  Manifest manifest = full_manifest();
  manifest.format_minor = 0;
  const Manifest back = parse_manifest(print_manifest(manifest));
  EXPECT_EQ(back.quantization, std::nullopt);
  EXPECT_EQ(back.verdict, std::nullopt);
}

TEST(Manifest, RefusesNewerFormatsBeforeItLooksAtTheRest) {
  EXPECT_TRUE(
      throws_error(ErrorKind::unsupported,
                   {"engine format 2.0, this veloz reads 1.0 to 1.3", "`veloz build`", "upgrade"},
                   [] { parse_manifest(R"({"format_version": "2.0", "shards": []})"); }));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"engine format 1.7"},
                           [] { parse_manifest(manifest_with("/format_version", "1.7")); }));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"engine format 0.9", "rebuild"},
                           [] { parse_manifest(manifest_with("/format_version", "0.9")); }));
}

TEST(Manifest, NoticesAnyEdit) {
  std::string text = print_manifest(full_manifest());
  text.replace(text.find("\"tiny\""), 6, "\"tidy\"");
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"engine.json", "checksum", "changed after"},
                           [&] { parse_manifest(text); }));
}

TEST(Manifest, WritesNamesThatAreNoUtf8) {
  Manifest manifest = full_manifest();
  manifest.model.name = "caf\xe9";
  EXPECT_EQ(parse_manifest(print_manifest(manifest)).model.name, "caf\xef\xbf\xbd");
}

struct BadManifest {
  std::string name;
  std::string text;
  std::vector<std::string_view> message;
};
class BadManifestText : public ::testing::TestWithParam<BadManifest> {};

TEST_P(BadManifestText, IsRefusedWithFileKeyAndValue) {
  try {
    parse_manifest(GetParam().text);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::corrupt_data) << e.message();
    EXPECT_NE(e.message().find("engine.json"), std::string::npos) << e.message();
    for (const std::string_view part : GetParam().message)
      EXPECT_NE(e.message().find(part), std::string::npos) << part << " in " << e.message();
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BadManifestText,
    ::testing::Values(
        BadManifest{"Empty", "", {"no valid JSON"}},
        BadManifest{"Version", manifest_with("/format_version", "one"), {"not a version like"}},
        BadManifest{"VersionNumber", manifest_with("/format_version", 1.0), {"not a string"}},
        BadManifest{
            "VersionMinus", manifest_with("/format_version", "1.-1"), {"not a version like"}},
        BadManifest{
            "VersionTail", manifest_with("/format_version", "1.0x"), {"not a version like"}},
        BadManifest{"UnknownKey", manifest_with("/host", "me"), {"unknown key \"host\""}},
        BadManifest{"LoadFormat",
                    manifest_with("/load_format", "pickle"),
                    {"\"load_format\" is \"pickle\""}},
        BadManifest{"Dtype",
                    manifest_with("/model/dtype", "fp4"),
                    {"\"model.dtype\" is \"fp4\"", "not a dtype"}},
        BadManifest{"NegativeVocab",
                    manifest_with("/model/vocab_size", -1),
                    {"\"model.vocab_size\" is -1"}},
        BadManifest{"TokenIds",
                    manifest_with("/model/eos_token_ids", 2),
                    {"\"model.eos_token_ids\" is 2", "not an array"}},
        BadManifest{"TokenIdNegative",
                    manifest_with("/model/eos_token_ids/0", -5),
                    {"eos_token_ids[0]", "-5"}},
        BadManifest{"FileAbove",
                    manifest_with("/files/0/name", "../graph.txt"),
                    {"\"../graph.txt\"", "plain file name"}},
        BadManifest{
            "FileAbsolute", manifest_with("/files/0/name", "/etc/passwd"), {"plain file name"}},
        BadManifest{
            "FileFolder", manifest_with("/files/0/name", "other/graph.txt"), {"plain file name"}},
        BadManifest{
            "FileDeep", manifest_with("/files/0/name", "tokenizer/a/b"), {"plain file name"}},
        BadManifest{"FileUp", manifest_with("/files/2/name", "tokenizer/.."), {"plain file name"}},
        BadManifest{
            "FileHidden", manifest_with("/files/2/name", "tokenizer/.hidden"), {"plain file name"}},
        BadManifest{
            "FileItself", manifest_with("/files/2/name", "engine.json"), {"plain file name"}},
        BadManifest{"FileEmpty", manifest_with("/files/2/name", ""), {"plain file name"}},
        BadManifest{"FileTwice",
                    manifest_with("/files/0/name", "plan.json"),
                    {"\"plan.json\"", "listed twice"}},
        BadManifest{
            "FileMissing", manifest_with("/files/0/name", "notes.txt"), {"lacks \"graph.txt\""}},
        BadManifest{
            "FileBytes", manifest_with("/files/0/bytes", int64_t{1} << 60), {"\"files[0].bytes\""}},
        BadManifest{
            "ChecksumCount", manifest_with("/files/1/bytes", 16), {"2 checksums", "1 chunks"}},
        BadManifest{
            "ChecksumText", manifest_with("/files/0/xxh3_64/0", "xyz"), {"16 hexadecimal digits"}},
        BadManifest{
            "OwnChecksum", manifest_with("/checksum", 5), {"\"checksum\" is 5", "not a string"}}),
    [](const auto& test_info) { return test_info.param.name; });

TEST(Manifest, NeverCrashesOnAMutatedDocument) {
  const Json original = Json::parse(print_manifest(full_manifest()));
  const std::vector<Json> values = {nullptr,
                                    true,
                                    -1,
                                    INT64_MAX,
                                    UINT64_MAX,
                                    0.5,
                                    "",
                                    "x",
                                    Json::array(),
                                    Json::object(),
                                    Json::array({Json::object()})};
  size_t refused = 0;
  const Json leaves = original.flatten();
  for (const auto& [pointer, unused] : leaves.items()) {
    for (const Json& value : values) {
      Json json = original;
      json[Json::json_pointer(pointer)] = value;
      try {
        parse_manifest(json.dump());
        ADD_FAILURE() << "accepted " << pointer << " = " << value;
      } catch (const Error& e) {
        EXPECT_TRUE(e.kind() == ErrorKind::corrupt_data || e.kind() == ErrorKind::unsupported)
            << e.message();
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 400u);
}

}  // namespace
}  // namespace veloz::engine
