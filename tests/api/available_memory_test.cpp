// SPDX-License-Identifier: Apache-2.0
#include "api/available_memory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "support/temp_directory.h"

namespace veloz::api {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

/// /proc and /sys of a machine with 8 GiB available.
class Machine {
 public:
  Machine() { write("proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable: 8388608 kB\n"); }
  void write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = directory_.path() / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  uint64_t available() const { return available_memory_bytes(directory_.path()); }

 private:
  test::TempDirectory directory_;
};

TEST(AvailableMemory, IsTheSystemsWhereNoGroupLimitsIt) {
  const Machine machine;
  EXPECT_EQ(machine.available(), 8192 * kMiB);
  machine.write("proc/self/cgroup", "0::/\n");
  machine.write("sys/fs/cgroup/memory.max", "max\n");
  machine.write("sys/fs/cgroup/memory.current", "1000\n");
  EXPECT_EQ(machine.available(), 8192 * kMiB);
}

TEST(AvailableMemory, IsWhatEveryGroupAroundLeaves) {
  const Machine machine;
  machine.write("proc/self/cgroup", "0::/system.slice/veloz.service\n");
  const std::string slice = "sys/fs/cgroup/system.slice/";
  machine.write(slice + "memory.max", std::to_string(2048 * kMiB));
  machine.write(slice + "memory.current", std::to_string(1548 * kMiB));
  machine.write(slice + "veloz.service/memory.max", std::to_string(1024 * kMiB));
  machine.write(slice + "veloz.service/memory.current", std::to_string(100 * kMiB));
  EXPECT_EQ(machine.available(), 500 * kMiB);
}

TEST(AvailableMemory, FilePagesThatCanBeDroppedAreFree) {
  const Machine machine;
  machine.write("proc/self/cgroup", "0::/\n");
  machine.write("sys/fs/cgroup/memory.max", std::to_string(1024 * kMiB));
  machine.write("sys/fs/cgroup/memory.current", std::to_string(900 * kMiB));
  machine.write("sys/fs/cgroup/memory.stat",
                "anon 5\ninactive_file " + std::to_string(800 * kMiB) + "\n");
  EXPECT_EQ(machine.available(), 924 * kMiB);
}

TEST(AvailableMemory, ReadsVersionOneToo) {
  const Machine machine;
  machine.write("proc/self/cgroup", "5:cpu,cpuacct:/other\n4:memory:/docker/abc\n");
  const std::string group = "sys/fs/cgroup/memory/";  // as seen from inside a container
  machine.write(group + "memory.limit_in_bytes", std::to_string(512 * kMiB));
  machine.write(group + "memory.usage_in_bytes", std::to_string(112 * kMiB));
  machine.write(group + "memory.stat", "total_inactive_file " + std::to_string(12 * kMiB) + "\n");
  EXPECT_EQ(machine.available(), 412 * kMiB);
}

}  // namespace
}  // namespace veloz::api
