// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace veloz {

/// Held on a directory or a file while something is written; the death of the process releases it
/// too.
class PathLock {
 public:
  /// Throws Error(invalid_input) where another holds it, Error(io).
  explicit PathLock(const std::filesystem::path& path);
  ~PathLock();
  PathLock(const PathLock&) = delete;
  PathLock& operator=(const PathLock&) = delete;

 private:
  int fd_;
};

}  // namespace veloz
