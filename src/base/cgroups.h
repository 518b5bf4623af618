// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

namespace veloz {

/// A control group of Linux: its folder, and whose files are in it.
struct Cgroup {
  std::filesystem::path folder;
  int version = 2;
};

/// The groups that limit this process by `controller` ("memory", "cpu"): its own and all around it,
/// the outermost first; some may not be there. In a container the path may be one of outside: then
/// the mount itself is the container's group. `root` is where /proc and /sys are found.
std::vector<Cgroup> cgroups_of(std::string_view controller, const std::filesystem::path& root);

/// How many processors' time this process may use, the least that any group around it allows;
/// nothing: all.
std::optional<double> cpu_quota(const std::filesystem::path& root = "/");

}  // namespace veloz
