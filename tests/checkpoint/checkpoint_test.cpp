// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "support/checkpoint_files.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::FileTensor;
using test::safetensors_bytes;
using test::throws_error;
using test::write_bytes;

constexpr const char* kFirst = "model-00001-of-00002.safetensors";
constexpr const char* kSecond = "model-00002-of-00002.safetensors";

FileTensor matrix(std::string name) {
  const std::array<float, 6> values = {0, 1, 2, 3, 4, 5};
  return test::fp32_tensor(std::move(name), {3, 2}, values);
}
FileTensor halves(std::string name) { return {std::move(name), "BF16", {2}, "abcd"}; }

class CheckpointFiles : public testing::Test {
 protected:
  void write(const std::string& name, std::string_view bytes) const {
    write_bytes(dir_ / name, bytes);
  }
  void write_index(std::string_view weight_map) const {
    write("model.safetensors.index.json",
          fmt::format(R"({{"metadata":{{"total_size":28}},"weight_map":{{{}}}}})", weight_map));
  }
  void write_shards() const {
    write(kFirst, safetensors_bytes({matrix("a")}));
    write(kSecond, safetensors_bytes({halves("b")}));
    write_index(fmt::format(R"("a":"{}","b":"{}")", kFirst, kSecond));
  }
  Checkpoint open() const { return Checkpoint::open(dir_); }
  /// Opening fails so, and the message names the index.
  void expect_bad_index(std::string_view weight_map,
                        std::initializer_list<std::string_view> parts) const {
    write_shards();
    write_index(weight_map);
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, parts, [&] { open(); })) << weight_map;
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"index.json"}, [&] { open(); }));
  }

  const test::TempDirectory temp_;
  const fs::path dir_ = temp_.path();
};

TEST_F(CheckpointFiles, OneFile) {
  write("model.safetensors", safetensors_bytes({matrix("m"), halves("h")}));
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.names(), (std::vector<std::string_view>{"h", "m"}));
  EXPECT_EQ(checkpoint.find("m")->dtype, DType::fp32);
  EXPECT_EQ(checkpoint.find("m")->shape, Shape({3, 2}));
  EXPECT_EQ(checkpoint.find("none"), std::nullopt);
  std::array<float, 4> rows{};
  checkpoint.read_rows("m", 1, 3, std::as_writable_bytes(std::span(rows)));
  EXPECT_EQ(rows, (std::array<float, 4>{2, 3, 4, 5}));
  std::array<char, 2> half{};
  checkpoint.read_rows("h", 1, 2, std::as_writable_bytes(std::span(half)));
  EXPECT_EQ(std::string_view(half.data(), 2), "cd");
}

TEST_F(CheckpointFiles, Shards) {
  write_shards();
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.names(), (std::vector<std::string_view>{"a", "b"}));
  EXPECT_EQ(checkpoint.find("a")->dtype, DType::fp32);
  EXPECT_EQ(checkpoint.find("b")->dtype, DType::bf16);
  std::array<float, 2> row{};
  checkpoint.read_rows("a", 2, 3, std::as_writable_bytes(std::span(row)));
  EXPECT_EQ(row, (std::array<float, 2>{4, 5}));
}

TEST_F(CheckpointFiles, FollowsTheLinksOfTheHuggingFaceCache) {
  const fs::path blobs = dir_ / "blobs";
  const fs::path snapshot = dir_ / "snapshots" / "main";
  fs::create_directories(blobs);
  fs::create_directories(snapshot);
  write("blobs/f00", safetensors_bytes({matrix("a")}));
  write("blobs/b42", safetensors_bytes({halves("b")}));
  write("blobs/1d3", fmt::format(R"({{"weight_map":{{"a":"{}","b":"{}"}}}})", kFirst, kSecond));
  fs::create_symlink("../../blobs/f00", snapshot / kFirst);
  fs::create_symlink("../../blobs/b42", snapshot / kSecond);
  fs::create_symlink("../../blobs/1d3", snapshot / "model.safetensors.index.json");
  fs::create_directory_symlink("snapshots/main", dir_ / "link");
  EXPECT_EQ(Checkpoint::open(dir_ / "link").names(), (std::vector<std::string_view>{"a", "b"}));
}

TEST_F(CheckpointFiles, LinkThatLeadsNowhere) {
  fs::create_symlink("../blobs/gone", dir_ / "model.safetensors");
  EXPECT_TRUE(throws_error(
      ErrorKind::not_found,
      {"model.safetensors", "is a link to \"../blobs/gone\"", "download is incomplete"},
      [&] { open(); }));
}

TEST_F(CheckpointFiles, IndexMayNameNothingButPlainFileNames) {
  for (const char* name : {"../secret.safetensors", "/etc/passwd", "sub/model.safetensors", "..",
                           ".", "", "a\\\\b.safetensors", "model.safetensors\\u0000.txt"})
    expect_bad_index(fmt::format(R"("a":"{}")", name),
                     {R"(tensor "a" is said to be in)", "no plain file name"});
  expect_bad_index(R"("a":7)", {R"(tensor "a" is said to be in 7)"});
  expect_bad_index(R"("a":["x"])", {"no plain file name"});
}

TEST_F(CheckpointFiles, IndexThatDisagreesWithItsShards) {
  expect_bad_index(fmt::format(R"("a":"{}","b":"{}","c":"{}")", kFirst, kSecond, kSecond),
                   {R"(tensor "c" is in)", kSecond, "where it is not", "same revision"});
  expect_bad_index(fmt::format(R"("a":"{}","b":"{}")", kSecond, kFirst), {"where it is not"});
  expect_bad_index(fmt::format(R"("a":"{}")", kFirst).append(fmt::format(R"(,"x":"{}")", kSecond)),
                   {R"(tensor "x")"});
  write(kSecond, safetensors_bytes({halves("b"), halves("extra")}));
  write_index(fmt::format(R"("a":"{}","b":"{}")", kFirst, kSecond));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data,
                           {R"(tensor "extra")", "not in the index", "same revision"},
                           [&] { open(); }));
}

TEST_F(CheckpointFiles, IndexWithoutAWeightMap) {
  expect_bad_index("", {"\"weight_map\"", "download the index again"});
  for (const char* text : {"[]", "{}", R"({"weight_map":[]})", "7"}) {
    write("model.safetensors.index.json", text);
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"weight_map"}, [&] { open(); })) << text;
  }
}

TEST_F(CheckpointFiles, IndexThatIsNoJson) {
  for (const std::string& text : {std::string("{"), std::string("\0\1", 2), std::string()}) {
    write("model.safetensors.index.json", text);
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"index.json", "no valid JSON at byte"},
                             [&] { open(); }));
  }
  write("model.safetensors.index.json", R"({"weight_map":)" + std::string(100'000, '['));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"deeper than 64 levels"}, [&] { open(); }));
}

TEST_F(CheckpointFiles, IndexThatNamesMoreFilesThanCanBeOpen) {
  std::string map;
  for (int i = 0; i <= 1000; ++i) map += fmt::format(R"({}"t{}":"f{}")", i == 0 ? "" : ",", i, i);
  expect_bad_index(map, {"it names 1001 files, at most 1000"});
}

TEST_F(CheckpointFiles, MissingShard) {
  write_shards();
  fs::remove(dir_ / kSecond);
  EXPECT_TRUE(throws_error(ErrorKind::not_found, {kSecond, "is missing", "download is incomplete"},
                           [&] { open(); }));
}

TEST_F(CheckpointFiles, DirectoryWhereAShardShouldBe) {
  write_shards();
  fs::remove(dir_ / kSecond);
  fs::create_directory(dir_ / kSecond);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {kSecond, "is a directory"}, [&] { open(); }));
}

TEST_F(CheckpointFiles, ShardsThatBothHaveATensor) {
  write(kFirst, safetensors_bytes({matrix("a")}));
  write(kSecond, safetensors_bytes({matrix("a"), halves("b")}));
  write_index(fmt::format(R"("a":"{}","b":"{}")", kFirst, kSecond));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data,
                           {R"(tensor "a" is in)", kFirst, kSecond, "overlap"}, [&] { open(); }));
}

TEST_F(CheckpointFiles, RefusesAPyTorchPickleUnread) {
  // No pickle at all: had it been opened, the message would be another.
  write("pytorch_model-00001-of-00002.bin", "not a pickle");
  EXPECT_TRUE(throws_error(ErrorKind::unsupported,
                           {"pytorch_model-00001-of-00002.bin", "PyTorch pickle", "it was not read",
                            "python3 scripts/convert_bin_to_safetensors.py " + dir_.string()},
                           [&] { open(); }));
}

TEST_F(CheckpointFiles, QuotesTheDirectoryInTheCommandThatConverts) {
  const fs::path dir = dir_ / "it's; rm -rf";
  fs::create_directory(dir);
  write_bytes(dir / "pytorch_model.bin", "x");
  EXPECT_TRUE(throws_error(ErrorKind::unsupported,
                           {"safetensors.py '" + dir_.string() + "/it'\\''s; rm -rf'"},
                           [&] { Checkpoint::open(dir); }));
}

TEST_F(CheckpointFiles, DirectoryWithoutWeights) {
  write("config.json", "{}");
  EXPECT_TRUE(throws_error(ErrorKind::not_found,
                           {dir_.string(), "has no weights", "among its 1 files", "dummy"},
                           [&] { open(); }));
}

TEST_F(CheckpointFiles, WhatIsNoDirectory) {
  write("config.json", "{}");
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"config.json", "is no directory"},
                           [&] { Checkpoint::open(dir_ / "config.json"); }));
  EXPECT_TRUE(throws_error(ErrorKind::not_found, {"absent", "does not exist"},
                           [&] { Checkpoint::open(dir_ / "absent"); }));
}

TEST_F(CheckpointFiles, TensorOfATypeThatIsNoWeight) {
  write("model.safetensors", safetensors_bytes({FileTensor{"a", "F8_E5M2", {2}, "ab"}}));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported,
                           {R"(tensor "a" has dtype F8_E5M2)", "F32, F16 or BF16", "convert"},
                           [&] { (void)open().find("a"); }));
}

TEST_F(CheckpointFiles, FileThatShrinksWhileItIsRead) {
  write("model.safetensors", safetensors_bytes({matrix("a")}));
  const Checkpoint checkpoint = open();
  fs::resize_file(dir_ / "model.safetensors", fs::file_size(dir_ / "model.safetensors") - 1);
  std::array<float, 6> all{};
  EXPECT_TRUE(throws_error(
      ErrorKind::corrupt_data, {"model.safetensors", "ends at byte", "shrank"},
      [&] { checkpoint.read_rows("a", 0, 3, std::as_writable_bytes(std::span(all))); }));
  EXPECT_TRUE(
      throws_error(ErrorKind::corrupt_data, {"shrank"}, [&] { (void)checkpoint.fingerprint(); }));
  ThreadPool pool(2);
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"shrank"},
                           [&] { (void)checkpoint.content_hash(pool, {}); }));
}

TEST_F(CheckpointFiles, HashesDependOnTensorsNotOnHowTheyLie) {
  ThreadPool pool(2);
  write("model.safetensors", safetensors_bytes({halves("b"), matrix("a")}));
  const std::string fingerprint = open().fingerprint();
  const std::string content = open().content_hash(pool, {});
  EXPECT_EQ(fingerprint.size(), 32u);
  fs::remove(dir_ / "model.safetensors");
  write_shards();
  EXPECT_EQ(open().fingerprint(), fingerprint);
  EXPECT_EQ(open().content_hash(pool, {}), content);
}

TEST_F(CheckpointFiles, HashesTellNamesTypesShapesAndBytesApart) {
  ThreadPool pool(1);
  std::vector<std::string> hashes;
  FileTensor changed = halves("b");
  changed.data[3] = 'x';
  const FileTensor reshaped = {"b", "BF16", {1, 2}, "abcd"};
  const FileTensor retyped = {"b", "F16", {2}, "abcd"};
  for (const FileTensor& tensor : {halves("b"), halves("c"), changed, reshaped, retyped}) {
    write("model.safetensors", safetensors_bytes({tensor}));
    hashes.push_back(open().fingerprint());
    hashes.push_back(open().content_hash(pool, {}));
  }
  std::ranges::sort(hashes);
  EXPECT_EQ(std::ranges::unique(hashes).begin(), hashes.end());
}

TEST_F(CheckpointFiles, FingerprintSeesBothEndsOfALargeTensor) {
  constexpr size_t kBytes = 1 << 20;
  std::string data(kBytes, 'x');
  const auto fingerprint = [&] {
    write("model.safetensors",
          safetensors_bytes({FileTensor{"a", "U8", {static_cast<int64_t>(kBytes)}, data}}));
    return open().fingerprint();
  };
  const std::string before = fingerprint();
  data.front() = 'y';
  const std::string changed_front = fingerprint();
  data.front() = 'x';
  data.back() = 'y';
  EXPECT_NE(changed_front, before);
  EXPECT_NE(fingerprint(), before);
}

}  // namespace
}  // namespace veloz::checkpoint
