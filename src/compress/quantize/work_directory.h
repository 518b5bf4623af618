// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/path_lock.h"

namespace veloz::compress {

/// "<output>.unfinished": where a long job keeps what is done until its result is complete, so that
/// the same command goes on after an interruption. Locked as long as it is open.
class WorkDirectory {
 public:
  WorkDirectory() = default;

  /// Made, or taken up where it is of a job with the same key. Throws Error(invalid_input) where it
  /// is of another job, unless `restarts` drops it, was not made here, or is open elsewhere.
  static WorkDirectory open(const std::filesystem::path& output, std::string_view key,
                            bool restarts);

  const std::filesystem::path& path() const { return path_; }
  void remove() const;

 private:
  explicit WorkDirectory(std::filesystem::path path)
      : path_(std::move(path)), lock_(std::make_unique<PathLock>(path_ / kKeyFile)) {}

  static constexpr const char* kKeyFile = "job.txt";  // what makes a directory one of ours
  std::filesystem::path path_;
  // Not of the directory, which those who write into it lock.
  std::unique_ptr<PathLock> lock_;
};

}  // namespace veloz::compress
