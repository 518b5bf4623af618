// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace veloz::checkpoint {

/// The tensors of one module of a quantized checkpoint, "model.layers.0.mlp.up_proj" and its
/// ".weight", ".weight_scale", ...; what is not as its format says is an Error naming the tensor.
class ModuleTensors {
 public:
  ModuleTensors(const Checkpoint& files, std::string module)
      : files_(&files), module_(std::move(module)) {}

  const Checkpoint& files() const { return *files_; }
  const std::string& module() const { return module_; }
  std::string name(std::string_view part) const { return module_ + "." + std::string(part); }

  std::optional<TensorInfo> find(std::string_view part) const { return files_->find(name(part)); }
  /// Throws Error(not_found) where it is missing, Error(invalid_input) for another dtype.
  TensorInfo require(std::string_view part, std::initializer_list<DType> dtypes) const;
  /// The same, and of just this shape.
  TensorInfo require(std::string_view part, std::initializer_list<DType> dtypes,
                     const Shape& shape) const;
  /// Throws Error(invalid_input) that says what the shape should be.
  [[noreturn]] void refuse_shape(std::string_view part, const Shape& shape,
                                 const std::string& wanted) const;

  std::vector<int32_t> read_int32s(std::string_view part) const;
  /// The one element of a tensor of one fp32, bf16 or fp16: a scale, which is positive and finite.
  double read_scale(std::string_view part) const;

 private:
  const Checkpoint* files_;
  std::string module_;
};

/// fp32, bf16 or fp16 elements to fp32.
std::vector<float> to_fp32(DType dtype, std::span<const std::byte> elements);

/// Throws Error(corrupt_data) naming the place of the first scale that is no positive number; of
/// integer `codes`, no number other than 0 (AutoRound's symmetric scales have both signs). `scales`
/// are rows of `num_columns` from `row_begin` on.
void check_scales(std::string_view tensor, DType codes, DType dtype,
                  std::span<const std::byte> scales, int64_t row_begin, int64_t num_columns);

}  // namespace veloz::checkpoint
