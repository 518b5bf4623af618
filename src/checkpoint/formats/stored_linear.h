// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/quantization.h"
#include "checkpoint/tensor_source.h"

namespace veloz::checkpoint {

/// One quantized linear as its files hold it, read as the canonical tensors of quantization.h.
/// Rows are output channels; `to` has exactly the bytes of the rows asked for. Reads may come from
/// many threads and throw Error(corrupt_data) for values no checkpoint can have: scales that are
/// not positive numbers, codes beyond their range, NaN.
class StoredLinear {
 public:
  struct Facts {
    std::string module;
    LinearScheme scheme;
    int64_t rows = 0;
    int64_t columns = 0;
    std::vector<int32_t> permutation;  // [columns], where the scheme has one
  };

  explicit StoredLinear(Facts facts) : facts_(std::move(facts)) {}
  virtual ~StoredLinear() = default;

  virtual void read_weight(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const = 0;
  virtual void read_scales(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const = 0;
  virtual void read_zeros(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const = 0;

  const LinearScheme& scheme() const { return facts_.scheme; }
  const std::string& module() const { return facts_.module; }
  int64_t rows() const { return facts_.rows; }
  int64_t columns() const { return facts_.columns; }
  int64_t num_groups() const {
    return facts_.scheme.group == 0 ? 1 : facts_.columns / facts_.scheme.group;
  }
  std::span<const int32_t> permutation() const { return facts_.permutation; }

  TensorInfo weight_info() const {
    return {scheme().weight,
            {rows(), scheme().weight == DType::uint4x2 ? columns() / 2 : columns()}};
  }
  TensorInfo scales_info() const { return {scheme().scale_dtype, {rows(), num_groups()}}; }
  TensorInfo zeros_info() const {
    return {scheme().weight == DType::int8 ? DType::int8 : DType::uint8, {rows(), num_groups()}};
  }

 private:
  Facts facts_;
};

}  // namespace veloz::checkpoint
