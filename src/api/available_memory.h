// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>

namespace veloz::api {

/// Memory this process can still get: what the system says is available, and what every cgroup
/// (version 1 or 2) it is in leaves, file pages that can be dropped counted as free. `root` is
/// where /proc and /sys are found.
uint64_t available_memory_bytes(const std::filesystem::path& root = "/");

}  // namespace veloz::api
