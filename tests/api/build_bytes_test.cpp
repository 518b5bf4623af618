// SPDX-License-Identifier: Apache-2.0
#include "veloz/build.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "compiler/quant_schemes.h"
#include "support/golden_models.h"
#include "support/temp_directory.h"

namespace veloz {
namespace {

namespace fs = std::filesystem;

/// Every file of a directory by its relative name.
std::map<std::string, std::string> contents(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    files[fs::relative(entry.path(), directory).string()] = {std::istreambuf_iterator<char>(stream),
                                                             std::istreambuf_iterator<char>()};
  }
  return files;
}

std::map<std::string, std::string> build_with_threads(BuildOptions options, int num_threads) {
  const test::TempDirectory directory;
  options.output = directory.path() / "engine";
  options.num_threads = num_threads;
  build(options);
  return contents(options.output);
}

void expect_same_bytes(const BuildOptions& options) {
  const std::map<std::string, std::string> one = build_with_threads(options, 1);
  EXPECT_GE(one.size(), 5u);
  for (const int num_threads : {2, 3, 7}) {
    const std::map<std::string, std::string> many = build_with_threads(options, num_threads);
    ASSERT_EQ(many.size(), one.size());
    for (const auto& [name, bytes] : one)
      EXPECT_TRUE(many.at(name) == bytes) << name << " with " << num_threads << " threads";
  }
}

TEST(BuildBytes, GivesTheSameBytesWithAnyNumberOfThreads) {
  for (const char* name : {"llama-gqa-bf16", "llama-mqa-sharded", "gptj-f16"})
    for (const char* dtype : {"fp32", "bf16"})
      expect_same_bytes(test::small_build(test::golden_model(name), "", dtype));
  expect_same_bytes(test::small_build(test::bundled_model("tiny-gptj"), ""));
}

TEST(BuildBytes, GivesTheSameBytesForTheSameDummySeedAndOthersForAnother) {
  BuildOptions options = test::small_build(test::golden_model("qwen2"), "");
  options.load_format = "dummy";
  options.seed = 3;
  expect_same_bytes(options);
  const std::string bytes = build_with_threads(options, 1).at("weights.safetensors");
  options.seed = 4;
  EXPECT_NE(build_with_threads(options, 1).at("weights.safetensors"), bytes);
}

TEST(BuildBytes, GivesTheSameBytesForEveryQuantization) {
  for (const compiler::QuantScheme& scheme : compiler::quant_schemes()) {
    BuildOptions options = test::small_build(test::bundled_model("tiny-llama"), "");
    options.quant = std::string(scheme.name);
    options.quant_layers = {"*.layers.1.mlp.down_proj=int8", "*.layers.3.*=none"};
    options.quant_lm_head = "int8";
    SCOPED_TRACE(scheme.name);
    expect_same_bytes(options);
  }
}

TEST(BuildBytes, SaysHowFarItIs) {
  const test::TempDirectory directory;
  BuildOptions options =
      test::small_build(test::bundled_model("tiny-gptj"), directory.path() / "engine");
  std::map<std::string, uint64_t> last_done;
  options.on_progress = [&](const Progress& progress) {
    EXPECT_LE(progress.done, progress.total);
    EXPECT_GE(progress.done, last_done[std::string(progress.stage)]);
    last_done[std::string(progress.stage)] = progress.done;
  };
  const BuildReport report = build(options);
  EXPECT_FALSE(last_done.empty());
  EXPECT_GT(report.weight_bytes, size_t{6} << 20);
  EXPECT_EQ(report.engine, options.output);
}

}  // namespace
}  // namespace veloz
