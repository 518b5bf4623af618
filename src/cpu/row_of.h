// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/tensor_view.h"

namespace veloz::cpu {

/// First byte of a row, whatever the dtype; null where the tensor is absent.
inline std::byte* row_of(const TensorView& tensor, int64_t row) {
  if (tensor.data == nullptr) return nullptr;
  return tensor.as<std::byte>() +
         row * tensor.row_stride * static_cast<int64_t>(dtype_bytes(tensor.dtype));
}

}  // namespace veloz::cpu
