// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/files.h"
#include "base/shape.h"

namespace veloz::checkpoint {

struct TensorEntry {
  DType dtype = DType::fp32;
  Shape shape;
  uint64_t offset = 0;  // in the file
  uint64_t bytes = 0;
};

/// A safetensors file (github.com/huggingface/safetensors) with its whole header proved before
/// anything is read or allocated by its word: known dtypes, extents >= 1 whose product does not
/// overflow, sizes that agree with dtype and shape, data that covers the file without holes or
/// overlaps. Reads may come from many threads.
class SafetensorsFile {
 public:
  /// Throws Error(corrupt_data) naming file, tensor, value and limit; what File::open throws.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::map<std::string, TensorEntry, std::less<>>& tensors() const { return tensors_; }
  const std::filesystem::path& path() const { return file_.path(); }
  uint64_t file_bytes() const { return file_.size(); }
  /// The header's JSON text.
  const std::string& header() const { return header_; }
  /// Bytes [begin, begin + to.size()) of a tensor.
  void read(const TensorEntry& entry, uint64_t begin, std::span<std::byte> to) const;

 private:
  explicit SafetensorsFile(File file) : file_(std::move(file)) {}
  File file_;
  std::string header_;
  std::map<std::string, TensorEntry, std::less<>> tensors_;
};

}  // namespace veloz::checkpoint
