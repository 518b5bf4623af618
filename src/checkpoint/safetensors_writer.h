// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace veloz::checkpoint {

/// A tensor to be written; rows are extents of the first axis, one where there is none.
struct TensorToWrite {
  std::string name;
  std::string dtype;  // safetensors_dtype, not empty
  Shape shape;
  uint64_t bytes = 0;
  /// Fills `to` with rows [row_begin, row_end).
  std::function<void(int64_t row_begin, int64_t row_end, std::span<std::byte> to)> read_rows;
};

/// Writes and syncs a safetensors file: header padded to 8 bytes, tensors one after the other in
/// the order given, a piece of some MiB in memory at a time. `written` hears of each piece's bytes.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<void(uint64_t bytes)>& written);

}  // namespace veloz::checkpoint
