// SPDX-License-Identifier: Apache-2.0
#include "base/cgroups.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/files.h"
#include "support/temp_directory.h"

namespace veloz {
namespace {

/// /proc and /sys of a made-up machine.
class Cgroups : public testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = directory_.path() / file;
    std::filesystem::create_directories(path.parent_path());
    write_text_file(path, text);
  }
  std::optional<double> quota() const { return cpu_quota(directory_.path()); }

  const test::TempDirectory directory_;
};

TEST_F(Cgroups, NoneOrMaxIsNoLimit) {
  EXPECT_FALSE(quota());
  write("proc/self/cgroup", "0::/\n");
  EXPECT_FALSE(quota());
  write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_FALSE(quota());
}

TEST_F(Cgroups, EveryGroupAroundLimitsTheProcessor) {
  write("proc/self/cgroup", "0::/system.slice/veloz.service\n");
  write("sys/fs/cgroup/system.slice/cpu.max", "400000 100000\n");
  EXPECT_EQ(quota(), 4.0);
  write("sys/fs/cgroup/system.slice/veloz.service/cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);
  write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(Cgroups, OfAContainerTheMountItselfIsTheGroup) {
  write("proc/self/cgroup", "0::/../../outside\n");
  write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(quota(), 2.0);
}

TEST_F(Cgroups, VersionOneIsReadToo) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n");
  const std::string group = "sys/fs/cgroup/cpu/docker/abc/";
  write(group + "cpu.cfs_quota_us", "-1\n");
  write(group + "cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(quota());
  write(group + "cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(quota(), 3.0);
}

}  // namespace
}  // namespace veloz
