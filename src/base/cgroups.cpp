// SPDX-License-Identifier: Apache-2.0
#include "base/cgroups.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace veloz {
namespace {

namespace fs = std::filesystem;

/// Whether `name` is one of "cpu,cpuacct".
bool is_listed(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const size_t comma = std::min(names.find(','), names.size());
    if (names.substr(0, comma) == name) return true;
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return false;
}

/// Processors' time that one group allows.
std::optional<double> quota_of(const Cgroup& group) {
  double quota = 0, period = 0;
  if (group.version == 2) {
    std::ifstream file(group.folder / "cpu.max");  // "max 100000": no limit
    if (!(file >> quota >> period)) return std::nullopt;
  } else {
    std::ifstream quota_file(group.folder / "cpu.cfs_quota_us");  // -1: no limit
    std::ifstream period_file(group.folder / "cpu.cfs_period_us");
    if (!(quota_file >> quota) || !(period_file >> period)) return std::nullopt;
  }
  if (!(quota > 0) || !(period > 0)) return std::nullopt;
  return quota / period;
}

}  // namespace

std::vector<Cgroup> cgroups_of(std::string_view controller, const fs::path& root) {
  std::vector<Cgroup> groups;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "4:memory:/path", "0::/path"
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const int version = controllers.empty() ? 2 : 1;
    if (version == 1 && !is_listed(controllers, controller)) continue;
    fs::path folder = root / "sys/fs/cgroup";
    if (version == 1) folder /= controller;
    groups.push_back({folder, version});
    for (const fs::path& part : fs::path(line.substr(second + 1)).relative_path()) {
      folder /= part;
      groups.push_back({folder, version});
    }
  }
  return groups;
}

std::optional<double> cpu_quota(const fs::path& root) {
  std::optional<double> least;
  for (const Cgroup& group : cgroups_of("cpu", root))
    if (const std::optional<double> quota = quota_of(group))
      least = std::min(least.value_or(*quota), *quota);
  return least;
}

}  // namespace veloz
