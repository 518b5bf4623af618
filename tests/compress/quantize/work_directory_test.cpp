// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/work_directory.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::compress {
namespace {

TEST(WorkDirectory, TheSameJobFindsWhatItLeft) {
  const test::TempDirectory directory;
  const auto output = directory.path() / "out";
  {
    const WorkDirectory first = WorkDirectory::open(output, "key", false);
    EXPECT_EQ(first.path(), directory.path() / "out.unfinished");
    write_text_file(first.path() / "layer", "done");
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"another process is writing"},
                                   [&] { WorkDirectory::open(output, "key", true); }));
  }
  const WorkDirectory again = WorkDirectory::open(directory.path() / "out/", "key", false);
  EXPECT_TRUE(std::filesystem::exists(again.path() / "layer"));
  again.remove();
  EXPECT_FALSE(std::filesystem::exists(again.path()));
}

TEST(WorkDirectory, AnotherJobIsRefusedUntilItIsDropped) {
  const test::TempDirectory directory;
  const auto output = directory.path() / "out";
  write_text_file(WorkDirectory::open(output, "key", false).path() / "layer", "done");
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input,
                                 {"out.unfinished", "another command", "--restart"},
                                 [&] { WorkDirectory::open(output, "other", false); }));
  const WorkDirectory anew = WorkDirectory::open(output, "other", true);
  EXPECT_FALSE(std::filesystem::exists(anew.path() / "layer"));
}

TEST(WorkDirectory, WhatOthersMadeIsNeverDropped) {
  const test::TempDirectory directory;
  std::filesystem::create_directories(directory.path() / "out.unfinished");
  write_text_file(directory.path() / "out.unfinished" / "letter", "precious");
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"not made by this program"}, [&] {
    WorkDirectory::open(directory.path() / "out", "key", true);
  }));
  EXPECT_TRUE(std::filesystem::exists(directory.path() / "out.unfinished" / "letter"));
}

TEST(WorkDirectory, WhatEndedBeforeItBeganIsNoHindrance) {
  const test::TempDirectory directory;
  const auto unfinished = directory.path() / "out.unfinished";
  std::filesystem::create_directories(unfinished);
  WorkDirectory::open(directory.path() / "out", "key", false);
  EXPECT_EQ(read_text_file(unfinished / "job.txt", 100), "key");
  write_text_file(unfinished / "job.txt", "");  // it ended while it wrote
  WorkDirectory::open(directory.path() / "out", "other", false);
  EXPECT_EQ(read_text_file(unfinished / "job.txt", 100), "other");
}

}  // namespace
}  // namespace veloz::compress
