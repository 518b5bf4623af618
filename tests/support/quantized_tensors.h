// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/fp8.h"
#include "checkpoint/convert.h"
#include "checkpoint/quantization.h"
#include "checkpoint/tensor_source.h"

namespace veloz::test {

/// A tensor read a few rows at a time, as the pieces of a build are.
inline std::vector<std::byte> read_tensor(const checkpoint::TensorSource& source,
                                          const std::string& name, int64_t rows_at_once) {
  const checkpoint::TensorInfo info = *source.find(name);
  const int64_t rows = info.shape.rank() == 0 ? 1 : info.shape[0];
  std::vector<std::byte> bytes(static_cast<size_t>(info.shape.num_elements()) *
                               dtype_bytes(info.dtype));
  const size_t row_bytes = bytes.size() / static_cast<size_t>(rows);
  for (int64_t begin = 0; begin < rows; begin += rows_at_once) {
    const int64_t end = std::min(begin + rows_at_once, rows);
    source.read_rows(name, begin, end,
                     std::span(bytes).subspan(static_cast<size_t>(begin) * row_bytes,
                                              static_cast<size_t>(end - begin) * row_bytes));
  }
  return bytes;
}

inline std::vector<float> fp32_of(DType dtype, std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / dtype_bytes(dtype));
  checkpoint::convert(dtype, bytes, DType::fp32, std::as_writable_bytes(std::span(values)));
  return values;
}

/// The code of column k of a row of canonical codes, as a number.
inline float code_at(DType dtype, std::span<const std::byte> row, int64_t k) {
  const auto byte =
      static_cast<uint8_t>(row[static_cast<size_t>(dtype == DType::uint4x2 ? k / 2 : k)]);
  switch (dtype) {
    case DType::int8:
      return static_cast<float>(static_cast<int8_t>(byte));
    case DType::fp8_e4m3: {
      Fp8E4M3 value;
      value.bits = byte;
      return static_cast<float>(value);
    }
    default:
      return static_cast<float>(k % 2 == 0 ? byte & 15 : byte >> 4);
  }
}

/// The weight of a module as its canonical tensors define it, (code - zero) * scale in fp32, with
/// columns in the order of x: [N, K].
inline std::vector<float> dequantized(const checkpoint::TensorSource& source,
                                      const std::string& module,
                                      const checkpoint::LinearScheme& scheme,
                                      int64_t rows_at_once) {
  const std::vector<std::byte> codes = read_tensor(source, module + ".weight", rows_at_once);
  const std::vector<float> scales =
      fp32_of(scheme.scale_dtype, read_tensor(source, module + ".weight_scale", rows_at_once));
  std::vector<std::byte> zeros;
  if (scheme.has_zeros) zeros = read_tensor(source, module + ".weight_zero", rows_at_once);
  const Shape shape = source.find(module + ".weight")->shape;
  const int64_t rows = shape[0];
  const int64_t columns = scheme.weight == DType::uint4x2 ? 2 * shape[1] : shape[1];
  std::vector<int32_t> permutation(static_cast<size_t>(columns));
  for (size_t k = 0; k < permutation.size(); ++k) permutation[k] = static_cast<int32_t>(k);
  if (scheme.has_permutation) {
    const auto bytes = read_tensor(source, module + ".permutation", rows_at_once);
    std::memcpy(permutation.data(), bytes.data(), bytes.size());
  }
  const int64_t groups = source.find(module + ".weight_scale")->shape[1];
  std::vector<float> weight(static_cast<size_t>(rows * columns));
  for (int64_t n = 0; n < rows; ++n) {
    const auto row =
        std::span(codes).subspan(static_cast<size_t>(n * shape[1]), static_cast<size_t>(shape[1]));
    for (int64_t k = 0; k < columns; ++k) {
      const auto at = static_cast<size_t>(n * groups + k / (columns / groups));
      float zero = scheme.weight == DType::uint4x2 ? 8.0f : 0.0f;
      if (scheme.has_zeros)
        zero = scheme.weight == DType::int8 ? static_cast<float>(static_cast<int8_t>(zeros[at]))
                                            : static_cast<float>(zeros[at]);
      weight[static_cast<size_t>(n * columns + permutation[static_cast<size_t>(k)])] =
          (code_at(scheme.weight, row, k) - zero) * scales[at];
    }
  }
  return weight;
}

}  // namespace veloz::test
