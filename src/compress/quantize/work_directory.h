// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace veloz::compress {

/// "<output>.unfinished": where a long job keeps what is done until its result is complete, so that
/// the same command goes on after an interruption.
class WorkDirectory {
 public:
  WorkDirectory() = default;

  /// Made, or taken up where it is of a job with the same key. Throws Error(invalid_input) where it
  /// is of another job, unless `restarts` drops it, or was not made here.
  static WorkDirectory open(const std::filesystem::path& output, std::string_view key,
                            bool restarts);

  const std::filesystem::path& path() const { return path_; }
  void remove() const;

 private:
  explicit WorkDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace veloz::compress
