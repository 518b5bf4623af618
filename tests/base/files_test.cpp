// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "support/expect_error.h"

namespace veloz {
namespace {

/// A directory of the running test, removed with it.
class FilesTest : public ::testing::Test {
 protected:
  FilesTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = std::filesystem::path(::testing::TempDir()) /
                 fmt::format("veloz_files_{}_{}", info->name(), ::getpid());
    std::filesystem::create_directories(directory_);
  }
  ~FilesTest() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path directory_;
};

TEST_F(FilesTest, WritesAndReadsBack) {
  const auto path = directory_ / "a";
  FileWriter writer = FileWriter::create(path);
  writer.write("hello ");
  writer.write("world");
  EXPECT_EQ(writer.offset(), 11u);
  const std::string_view patch = "W";
  writer.write_at(6, std::as_bytes(std::span(patch)));
  EXPECT_EQ(writer.offset(), 11u);
  writer.close();
  EXPECT_EQ(read_text_file(path, 100), "hello World");

  const File file = File::open(path);
  EXPECT_EQ(file.size(), 11u);
  std::string part(5, ' ');
  file.read(6, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, "World");
}

TEST_F(FilesTest, ReadsNothingFromAnEmptyFile) {
  write_text_file(directory_ / "empty", "");
  EXPECT_EQ(read_text_file(directory_ / "empty", 0), "");
}

TEST_F(FilesTest, NamesAMissingFile) {
  EXPECT_TRUE(test::throws_error(ErrorKind::not_found, {"missing\" does not exist"},
                                 [&] { File::open(directory_ / "missing"); }));
}

TEST_F(FilesTest, RefusesWhatIsNoRegularFile) {
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"is a directory, not a regular file"},
                                 [&] { File::open(directory_); }));
  const auto fifo = directory_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"is a special file"},
                                 [&] { File::open(fifo); }));  // and does not wait for a writer
}

TEST_F(FilesTest, FollowsSymlinks) {
  write_text_file(directory_ / "target", "x");
  std::filesystem::create_symlink("target", directory_ / "link");
  EXPECT_EQ(read_text_file(directory_ / "link", 10), "x");
}

TEST_F(FilesTest, SaysWhereAShrunkFileEnds) {
  const auto path = directory_ / "shrinks";
  write_text_file(path, std::string(1000, 'x'));
  const File file = File::open(path);
  std::filesystem::resize_file(path, 600);
  std::string buffer(1000, ' ');
  EXPECT_TRUE(test::throws_error(ErrorKind::corrupt_data,
                                 {"shrinks\" ends at byte 600, 1000 were expected", "truncated"},
                                 [&] { file.read(0, std::as_writable_bytes(std::span(buffer))); }));
}

TEST_F(FilesTest, RefusesTextFilesAboveTheLimit) {
  write_text_file(directory_ / "big", std::string(2048, 'x'));
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input,
                                 {"has 2.00 KiB, at most 1.00 KiB are read"},
                                 [&] { read_text_file(directory_ / "big", 1024); }));
  EXPECT_EQ(read_text_file(directory_ / "big", 2048).size(), 2048u);
}

TEST_F(FilesTest, AFullDiskIsAnIoErrorWithAHint) {
  ASSERT_TRUE(std::filesystem::exists("/dev/full"));
  FileWriter writer = FileWriter::create("/dev/full");
  EXPECT_TRUE(test::throws_error(ErrorKind::io, {"cannot write \"/dev/full\"", "free some space"},
                                 [&] { writer.write("x"); }));
}

TEST_F(FilesTest, WritesToADeviceThatCannotBeSynced) {
  FileWriter writer = FileWriter::create("/dev/null");
  writer.write("nobody reads this");
  writer.close();
}

TEST_F(FilesTest, CannotCreateInAMissingDirectory) {
  EXPECT_TRUE(test::throws_error(ErrorKind::io, {"cannot create", "No such file"},
                                 [&] { FileWriter::create(directory_ / "no" / "file"); }));
  EXPECT_TRUE(test::throws_error(ErrorKind::io, {"cannot open"},
                                 [&] { sync_directory(directory_ / "no"); }));
  EXPECT_NO_THROW(sync_directory(directory_));
}

TEST_F(FilesTest, HandlesMoveAndCloseOnce) {
  write_text_file(directory_ / "a", "1");
  write_text_file(directory_ / "b", "22");
  File a = File::open(directory_ / "a");
  File b = std::move(a);
  EXPECT_EQ(b.size(), 1u);
  b = File::open(directory_ / "b");
  EXPECT_EQ(b.size(), 2u);
  EXPECT_EQ(b.path().filename(), "b");
}

TEST(FormatBytes, PicksTheUnit) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(12 * 1024), "12.00 KiB");
  EXPECT_EQ(format_bytes(uint64_t{3} << 29), "1.50 GiB");
  EXPECT_EQ(format_bytes(uint64_t{5000} << 40), "5000.00 TiB");
}

}  // namespace
}  // namespace veloz
