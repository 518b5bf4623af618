// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/tuning_cache.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/files.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::cuda {
namespace {

namespace fs = std::filesystem;

const TuningIdentity kHere{"NVIDIA H200", "cublasLt 13.1.0"};

Gemm gemm_of_tokens(int64_t tokens) { return {.tokens = tokens, .n = 64, .k = 128}; }

TunedGemm tuned(int value) {
  TunedGemm t;
  for (int i = 0; i < 64; ++i) t.algorithm.blob.push_back(static_cast<std::byte>(value * 31 + i));
  t.algorithm.workspace_bytes = static_cast<size_t>(value) << 20;
  t.microseconds = value + 0.125;
  return t;
}

TuningCache filled(std::initializer_list<int> tokens) {
  TuningCache cache(kHere);
  for (const int t : tokens) cache.put(gemm_of_tokens(t), tuned(t));
  return cache;
}

TEST(TuningFile, IsNamedAfterDeviceAndVersion) {
  EXPECT_EQ(tuning_file("/c", kHere), fs::path("/c/NVIDIA-H200-cublasLt-13.1.0.json"));
  EXPECT_EQ(tuning_file("/c", {"../a/b", "x"}), fs::path("/c/..-a-b-x.json"));
}

TEST(TuningCache, FindsByBucket) {
  const TuningCache cache = filled({16});
  EXPECT_EQ(*cache.find(gemm_of_tokens(9)), tuned(16));
  EXPECT_EQ(*cache.find(gemm_of_tokens(16)), tuned(16));
  EXPECT_EQ(cache.find(gemm_of_tokens(17)), nullptr);
  EXPECT_EQ(cache.find(gemm_of_tokens(8)), nullptr);
}

TEST(TuningCache, ReadsBackWhatItSaved) {
  const test::TempDirectory temp;
  const fs::path path = temp.path() / "new" / "file.json";
  filled({1, 64}).save(path);
  const TuningCache read = TuningCache::load(path, kHere);
  EXPECT_EQ(read.notice(), "");
  EXPECT_EQ(read.size(), 2u);
  EXPECT_EQ(*read.find(gemm_of_tokens(1)), tuned(1));
  EXPECT_EQ(*read.find(gemm_of_tokens(64)), tuned(64));
}

TEST(TuningCache, ReadsBackWhatIsLeftToOurKernel) {
  const test::TempDirectory temp;
  TuningCache cache(kHere);
  cache.put(gemm_of_tokens(8), {{}, 12.5});
  cache.save(temp.path() / "file.json");
  const TuningCache read = TuningCache::load(temp.path() / "file.json", kHere);
  EXPECT_EQ(read.notice(), "");
  ASSERT_NE(read.find(gemm_of_tokens(8)), nullptr);
  EXPECT_TRUE(read.find(gemm_of_tokens(8))->algorithm.is_ours());
}

TEST(TuningCache, IsEmptyWithoutAFile) {
  const test::TempDirectory temp;
  const TuningCache cache = TuningCache::load(temp.path() / "none.json", kHere);
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.notice(), "");
}

TEST(TuningCache, MergesWithWhatOthersSavedOwnEntriesFirst) {
  const test::TempDirectory temp;
  const fs::path path = temp.path() / "file.json";
  filled({1, 2}).save(path);
  TuningCache mine(kHere);
  mine.put(gemm_of_tokens(2), tuned(77));
  mine.put(gemm_of_tokens(4), tuned(4));
  mine.save(path);
  const TuningCache read = TuningCache::load(path, kHere);
  EXPECT_EQ(read.size(), 3u);
  EXPECT_EQ(*read.find(gemm_of_tokens(1)), tuned(1));
  EXPECT_EQ(*read.find(gemm_of_tokens(2)), tuned(77));
  EXPECT_EQ(mine.size(), 3u);
}

TEST(TuningCache, LosesNothingWhereManySaveAtOnce) {
  const test::TempDirectory temp;
  const fs::path path = temp.path() / "file.json";
  {
    std::vector<std::jthread> writers;
    for (const int tokens : {1, 2, 4, 8, 16, 32, 64, 128})
      writers.emplace_back([&, tokens] {
        TuningCache mine(kHere);
        mine.put(gemm_of_tokens(tokens), tuned(tokens));
        mine.save(path);
      });
  }
  EXPECT_EQ(TuningCache::load(path, kHere).size(), 8u);
}

TEST(TuningCache, LeavesAnotherVersionsFileAside) {
  const test::TempDirectory temp;
  const fs::path path = temp.path() / "file.json";
  filled({1}).save(path);
  TuningCache other = TuningCache::load(path, {"NVIDIA H200", "cublasLt 13.2.0"});
  EXPECT_EQ(other.size(), 0u);
  EXPECT_NE(other.notice().find("it is of cublasLt 13.1.0 on NVIDIA H200, this is cublasLt 13.2.0"),
            std::string::npos)
      << other.notice();
  EXPECT_FALSE(other.take_notice().empty());
  EXPECT_EQ(other.take_notice(), "") << "it is said once";
  EXPECT_EQ(TuningCache::load(path, {"NVIDIA H100", "cublasLt 13.1.0"}).size(), 0u);
}

TEST(TuningCache, LeavesADamagedFileAsideAndReplacesIt) {
  const test::TempDirectory temp;
  const fs::path path = temp.path() / "file.json";
  filled({1}).save(path);
  const std::string good = read_text_file(path, 1 << 20);
  const auto damaged = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& text :
       {std::string(), std::string("[1]"), good.substr(0, good.size() / 2),
        damaged("\"format\": 1", "\"format\": 2"), damaged("\"entries\"", "\"entry\""),
        damaged("\"algorithm\": \"1f", "\"algorithm\": \"1g"),
        damaged("\"algorithm\": \"1f", "\"algorithm\": \"1"),
        damaged("\"workspace_bytes\": ", "\"workspace_bytes\": -"),
        damaged("\"microseconds\": ", "\"seconds\": "), damaged("\"device\"", "\"devices\"")}) {
    write_text_file(path, text);
    TuningCache cache = TuningCache::load(path, kHere);
    EXPECT_EQ(cache.size(), 0u) << text;
    EXPECT_NE(cache.notice().find(path.string()), std::string::npos) << text;
    cache.put(gemm_of_tokens(8), tuned(8));
    cache.save(path);
    EXPECT_EQ(TuningCache::load(path, kHere).size(), 1u) << text;
  }
}

TEST(TuningCache, SaysThatItCannotWrite) {
  const test::TempDirectory temp;
  write_text_file(temp.path() / "file", "");
  EXPECT_TRUE(test::throws_error(ErrorKind::io, {(temp.path() / "file").string()},
                                 [&] { filled({1}).save(temp.path() / "file" / "cache.json"); }));
}

}  // namespace
}  // namespace veloz::cuda
