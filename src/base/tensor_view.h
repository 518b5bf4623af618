// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/shape.h"

namespace veloz {

/// A typed, shaped window on memory that somebody else owns, on any device. The last axis is
/// contiguous and so are all axes but the first: `row_stride` (in elements) is the distance between
/// neighbours along axis 0, so that a column range of a matrix is a view too.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::fp32;
  Shape shape;
  int64_t row_stride = 0;

  TensorView() = default;
  TensorView(void* data_in, DType dtype_in, const Shape& shape_in)
      : data(data_in),
        dtype(dtype_in),
        shape(shape_in),
        row_stride(contiguous_row_stride(shape_in)) {}
  TensorView(void* data_in, DType dtype_in, const Shape& shape_in, int64_t row_stride_in)
      : data(data_in), dtype(dtype_in), shape(shape_in), row_stride(row_stride_in) {}

  static int64_t contiguous_row_stride(const Shape& shape) {
    int64_t stride = 1;
    for (size_t axis = 1; axis < shape.rank(); ++axis) stride *= shape[axis];
    return stride;
  }

  bool is_contiguous() const { return row_stride == contiguous_row_stride(shape); }
  size_t num_bytes() const {
    return static_cast<size_t>(shape.num_elements()) * dtype_bytes(dtype);
  }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  /// First element of row `row`; T must be the view's element type.
  template <typename T>
  T* row(int64_t row) const {
    return static_cast<T*>(data) + row * row_stride;
  }
};

}  // namespace veloz
