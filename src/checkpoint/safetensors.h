// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "base/files.h"
#include "checkpoint/safetensors_header.h"

namespace veloz::checkpoint {

/// A safetensors file (github.com/huggingface/safetensors) whose whole header was proved before
/// anything else was read or allocated by its word. Reads may come from many threads.
class SafetensorsFile {
 public:
  /// Throws Error(corrupt_data) naming file, tensor, value and limit; what File::open throws.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::map<std::string, TensorEntry, std::less<>>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string, std::less<>>& metadata() const {
    return header_.metadata;
  }
  const std::filesystem::path& path() const { return file_.path(); }
  uint64_t file_bytes() const { return file_.size(); }
  /// Bytes [begin, begin + to.size()) of a tensor of this file. Throws Error(corrupt_data) where
  /// the file has become shorter.
  void read(const TensorEntry& entry, uint64_t begin, std::span<std::byte> to) const;

 private:
  SafetensorsFile(File file, SafetensorsHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}
  File file_;
  SafetensorsHeader header_;
};

}  // namespace veloz::checkpoint
