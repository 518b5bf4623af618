// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>

#include "support/checkpoint_files.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::safetensors_bytes;
using test::throws_error;
using test::write_bytes;

class Safetensors : public testing::Test {
 protected:
  SafetensorsFile open(std::string_view bytes) const {
    write_bytes(path_, bytes);
    return SafetensorsFile::open(path_);
  }
  /// `header` before `data_bytes` zeros is refused, with all of `parts` in the message.
  void expect_corrupt(std::string_view header, size_t data_bytes,
                      std::initializer_list<std::string_view> parts) const {
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, parts, [&] {
      open(safetensors_bytes(header, std::string(data_bytes, '\0')));
    })) << header;
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {path_.string(), "download it again"}, [&] {
      open(safetensors_bytes(header, std::string(data_bytes, '\0')));
    })) << header;
  }

  const test::TempDirectory temp_;
  const fs::path path_ = temp_.path() / "model.safetensors";
};

TEST_F(Safetensors, GivesTensorsWithTheirPlacesInTheFile) {
  const SafetensorsFile file = open(safetensors_bytes({{"b", "BF16", {2, 3}, std::string(12, 'b')},
                                                       {"a", "F16", {}, "aa"},
                                                       {"c", "I64", {1}, "cccccccc"}}));
  ASSERT_EQ(file.tensors().size(), 3u);
  const TensorEntry& b = file.tensors().at("b");
  EXPECT_EQ(b.dtype, DType::bf16);
  EXPECT_EQ(b.shape, Shape({2, 3}));
  EXPECT_EQ(b.bytes, 12u);
  EXPECT_EQ(file.tensors().at("a").shape.rank(), 0);
  EXPECT_EQ(file.tensors().at("a").offset, b.offset + 12);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  std::array<char, 2> bytes{};
  file.read(file.tensors().at("a"), 0, std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(std::string_view(bytes.data(), 2), "aa");
}

TEST_F(Safetensors, ReadsAFileWithoutTensors) {
  EXPECT_TRUE(open(safetensors_bytes("{}", "")).tensors().empty());
}

TEST_F(Safetensors, ReadsAHeaderPaddedWithSpaces) {
  const std::string header = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}    )";
  EXPECT_EQ(open(safetensors_bytes(header, "xy")).tensors().at("a").bytes, 2u);
}

TEST_F(Safetensors, NamesElementTypesItCannotUse) {
  const SafetensorsFile file = open(safetensors_bytes({{"a", "F8_E5M2", {4}, "abcd"}}));
  EXPECT_EQ(file.tensors().at("a").dtype, std::nullopt);
  EXPECT_EQ(file.tensors().at("a").dtype_name, "F8_E5M2");
}

TEST_F(Safetensors, RefusesATruncatedFileWhereverItEnds) {
  const std::string whole =
      safetensors_bytes({{"a", "F32", {2}, "01234567"}, {"b", "F32", {1}, "0123"}});
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {path_.string(), "download it again"}, [&] {
      open(whole.substr(0, size));
    })) << size;
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"3 bytes are too few", "truncated"},
                           [&] { open(whole.substr(0, 3)); }));
}

TEST_F(Safetensors, RefusesBytesBehindTheLastTensor) {
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 3,
                 {"the tensors end at byte", "the file at"});
}

TEST_F(Safetensors, RefusesAHeaderLengthBeyondTheFile) {
  for (const uint64_t length :
       {uint64_t{1} << 60, UINT64_MAX, uint64_t{100'000'001}, uint64_t{100}}) {
    std::string bytes = safetensors_bytes("{}", "");
    std::memcpy(bytes.data(), &length, sizeof(length));
    EXPECT_TRUE(throws_error(
        ErrorKind::corrupt_data,
        {fmt::format("the header claims {} bytes, the file has 10", length), "100000000", "LFS"},
        [&] { open(bytes); }));
  }
}

TEST_F(Safetensors, RefusesOffsetsThatOverlap) {
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                     "b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                 6, {R"(tensor "b" begins at byte)", "inside the one before it"});
}

TEST_F(Safetensors, RefusesOffsetsThatAreTheSame) {
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                     "b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                 4, {R"(tensor "b")", "inside the one before it"});
}

TEST_F(Safetensors, RefusesAHoleBetweenTensors) {
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                     "b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}})",
                 9, {R"(before tensor "b", belong to no tensor)"});
}

TEST_F(Safetensors, RefusesOffsetsOutOfRange) {
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4000]}})", 4,
                 {R"(tensor "a")", "[0, 4000)", "the file holds 4 bytes"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4, {"[4, 0)"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,18446744073709551615]}})", 4,
                 {"[0, 18446744073709551615)", "4 bytes"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[-4,0]}})", 4,
                 {"data_offsets holds -4"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,1e3]}})", 4,
                 {"data_offsets holds", "counts"});
}

TEST_F(Safetensors, RefusesASizeThatDtypeAndShapeDoNotGive) {
  expect_corrupt(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,4]}})", 4,
                 {R"(tensor "a")", "4 bytes of data", "F32 [4] takes 16"});
}

TEST_F(Safetensors, RefusesExtentsWhoseProductOverflows) {
  expect_corrupt(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}})",
                 4, {R"(tensor "a")", "[4294967296, 4294967296, 4]", "64 bits"});
  // The product wraps to exactly the bytes that are there.
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[9223372036854775807,2],"data_offsets":[0,4]}})", 4,
                 {"64 bits"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4,
                 {"18446744073709551615", "64 bits"});
}

TEST_F(Safetensors, RefusesExtentsThatAreNoCounts) {
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0,
                 {R"(tensor "a")", "zero extent"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}})", 0,
                 {"shape holds -1"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", 1, {"1.5"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", 1,
                 {R"(shape holds "1")"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
                 {"more than", "extents"});
}

TEST_F(Safetensors, RefusesNamesAndKeysThatStandTwice) {
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                     "a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                 2, {R"(tensor "a" stands twice)"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1,
                 {R"(the key "shape" stands twice)"});
}

TEST_F(Safetensors, RefusesEntriesOfAnotherStructure) {
  expect_corrupt(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, {"lacks dtype"});
  expect_corrupt(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, {"lacks"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1,
                 {"1 numbers, they must be 2"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, {"more than 2"});
  expect_corrupt(R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", 1,
                 {"its dtype is 7, it must be a string"});
  expect_corrupt(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"extra":1}})", 1,
                 {R"(no field "extra")"});
  expect_corrupt(R"({"a":[1]})", 0, {R"("a" is a list, it must be an object)"});
  expect_corrupt(R"({"__metadata__":{"format":1}})", 0, {"format", "must be a string"});
  expect_corrupt(R"([])", 0, {"must be an object of tensors"});
}

TEST_F(Safetensors, RefusesWhatIsNoJson) {
  expect_corrupt(R"({"a":)", 0, {"no valid JSON at byte"});
  expect_corrupt(std::string(16, '\xff'), 0, {"no valid JSON at byte"});
  expect_corrupt("", 0, {"no valid JSON"});
  expect_corrupt("{}{}", 0, {"no valid JSON"});
}

TEST_F(Safetensors, RefusesDeepNestingWithoutFollowingIt) {
  const std::string deep = R"({"a":)" + std::string(1'000'000, '[');
  expect_corrupt(deep, 0, {R"("a" is a list)"});
}

TEST_F(Safetensors, RefusesAnElementTypeTheFormatDoesNotHave) {
  EXPECT_TRUE(throws_error(ErrorKind::unsupported,
                           {R"(tensor "a")", R"(dtype "F7")", "F32, F16 or BF16"}, [&] {
                             open(safetensors_bytes({{"a", "F7", {1}, "x"}}));
                           }));
}

TEST_F(Safetensors, RefusesElementsThatDoNotFillBytes) {
  expect_corrupt(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1,
                 {"whole bytes", "4 bits"});
}

TEST_F(Safetensors, ShowsHostileNamesHarmlessly) {
  const std::string header =
      R"({"\u001b[2J\u202e)" + std::string(5000, 'x') + R"(":{"dtype":"U8","shape":[0]}})";
  try {
    open(safetensors_bytes(header, ""));
    FAIL() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.message().find('\x1b'), std::string::npos);
    EXPECT_LT(e.message().size(), 1000u);
  }
}

TEST_F(Safetensors, FileThatShrinksWhileItIsRead) {
  const SafetensorsFile file = open(safetensors_bytes({{"a", "U8", {100}, std::string(100, 'a')}}));
  const uint64_t size = fs::file_size(path_);
  fs::resize_file(path_, size - 60);
  std::array<std::byte, 100> bytes{};
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data,
                           {path_.string(), fmt::format("ends at byte {}", size - 60), "shrank"},
                           [&] { file.read(file.tensors().at("a"), 0, bytes); }));
}

TEST_F(Safetensors, DirectoryOrFifoWhereAFileShouldBe) {
  fs::create_directory(path_);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {path_.string(), "a directory"},
                           [&] { SafetensorsFile::open(path_); }));
  const fs::path fifo = temp_.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"special file"},
                           [&] { SafetensorsFile::open(fifo); }));
}

TEST_F(Safetensors, MissingFile) {
  EXPECT_TRUE(throws_error(ErrorKind::not_found, {path_.string(), "does not exist"},
                           [&] { SafetensorsFile::open(path_); }));
}

}  // namespace
}  // namespace veloz::checkpoint
