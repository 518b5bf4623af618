// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/tensor_view.h"

namespace veloz::compress {

inline constexpr int64_t kRowGrain = 16;  // rows that one task takes at least

/// A row-major fp32 matrix in host memory: what recipes compute on.
struct Matrix {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<float> values;

  Matrix() = default;
  Matrix(int64_t rows_in, int64_t columns_in)
      : rows(rows_in), columns(columns_in), values(static_cast<size_t>(rows_in * columns_in)) {}

  float* row(int64_t i) { return values.data() + i * columns; }
  const float* row(int64_t i) const { return values.data() + i * columns; }
  /// Rows [begin, end), valid as long as the matrix. Whoever gets it from a constant one reads
  /// only.
  TensorView view(int64_t begin, int64_t end) const {
    return {const_cast<float*>(row(begin)), DType::fp32, {end - begin, columns}};
  }
  TensorView view() const { return view(0, rows); }
};

}  // namespace veloz::compress
