// SPDX-License-Identifier: Apache-2.0
#include "api/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/cgroups.h"

namespace veloz::api {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

/// The number in a file, or nothing: "max" is no limit.
std::optional<uint64_t> read_number(const fs::path& file) {
  std::ifstream in(file);
  uint64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

/// The number behind `key` in a file of lines "key number".
std::optional<uint64_t> read_entry(const fs::path& file, std::string_view key) {
  std::ifstream in(file);
  for (std::string name, rest; in >> name; std::getline(in, rest)) {
    uint64_t value = 0;
    if (name == key && in >> value) return value;
  }
  return std::nullopt;
}

/// What one version of cgroups calls its files.
struct Names {
  const char* limit;
  const char* used;
  const char* droppable;  // entry of memory.stat
};
constexpr Names kVersion2 = {"memory.max", "memory.current", "inactive_file"};
constexpr Names kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                             "total_inactive_file"};

uint64_t left_in(const fs::path& group, const Names& names) {
  const std::optional<uint64_t> limit = read_number(group / names.limit);
  const std::optional<uint64_t> used = read_number(group / names.used);
  if (!limit || !used) return kUnlimited;
  const uint64_t droppable = read_entry(group / "memory.stat", names.droppable).value_or(0);
  const uint64_t held = *used > droppable ? *used - droppable : 0;
  return *limit > held ? *limit - held : 0;
}

uint64_t left_in_cgroups(const fs::path& root) {
  uint64_t left = kUnlimited;
  for (const Cgroup& group : cgroups_of("memory", root))
    left = std::min(left, left_in(group.folder, group.version == 2 ? kVersion2 : kVersion1));
  return left;
}

}  // namespace

uint64_t available_memory_bytes(const fs::path& root) {
  constexpr uint64_t kUnknown = uint64_t{1} << 30;
  const std::optional<uint64_t> kib = read_entry(root / "proc/meminfo", "MemAvailable:");
  return std::min(kib ? *kib * 1024 : kUnknown, left_in_cgroups(root));
}

}  // namespace veloz::api
