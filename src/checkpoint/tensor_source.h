// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/shape.h"

namespace veloz::checkpoint {

struct TensorInfo {
  DType dtype = DType::fp32;
  Shape shape;
};

/// Where weights come from: files, or seeded random numbers. Methods are safe to call from many
/// threads.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// Nothing where there is no such tensor. Throws Error(unsupported) where it has elements of a
  /// type that DType lacks.
  virtual std::optional<TensorInfo> find(std::string_view name) const = 0;
  /// Rows [row_begin, row_end) of a tensor that `find` knows, row-major (elements for rank 1, the
  /// one element for rank 0), in its own dtype; `to` has exactly their bytes. Throws
  /// Error(corrupt_data) where a file has become shorter.
  virtual void read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                         std::span<std::byte> to) const = 0;
};

}  // namespace veloz::checkpoint
