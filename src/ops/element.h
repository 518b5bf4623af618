// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/error.h"
#include "base/tensor_view.h"

namespace veloz::ops {

/// One element of an fp32 or bf16 tensor as fp32: for reference implementations, which are never
/// fast.
inline float load_element(const TensorView& tensor, int64_t row, int64_t column) {
  const int64_t index = row * tensor.row_stride + column;
  return tensor.dtype == DType::bf16 ? static_cast<float>(tensor.as<const BFloat16>()[index])
                                     : tensor.as<const float>()[index];
}

inline void store_element(const TensorView& tensor, int64_t row, int64_t column, float value) {
  const int64_t index = row * tensor.row_stride + column;
  if (tensor.dtype == DType::bf16)
    tensor.as<BFloat16>()[index] = BFloat16(value);
  else
    tensor.as<float>()[index] = value;
}

}  // namespace veloz::ops
