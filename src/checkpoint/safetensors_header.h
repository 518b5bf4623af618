// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/shape.h"

namespace veloz::checkpoint {

struct TensorEntry {
  std::string_view dtype_name;  // as the format writes it, "F8_E4M3"; lives forever
  std::optional<DType> dtype;   // none where this project has no such elements
  Shape shape;
  uint64_t offset = 0;  // in the file
  uint64_t bytes = 0;
};

struct SafetensorsHeader {
  std::map<std::string, TensorEntry, std::less<>> tensors;
  std::map<std::string, std::string, std::less<>> metadata;
};

/// Reads the JSON header of a safetensors file of `file_bytes` whose data begins at `data_begin`,
/// and proves all of it: known dtypes, extents >= 1 whose product does not overflow, sizes that
/// agree with dtype and shape, data that covers the file without holes or overlaps. Memory stays
/// in proportion to the text. Throws Error(corrupt_data), or Error(unsupported) for a dtype that
/// the format did not have yet, naming tensor, value and limit.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_begin,
                                           uint64_t file_bytes);

}  // namespace veloz::checkpoint
