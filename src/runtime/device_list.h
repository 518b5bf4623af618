// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/device.h"
#include "base/error.h"
#include "base/numeric.h"
#include "base/tensor_view.h"
#include "runtime/step_runner.h"

namespace veloz::runtime {

/// Rows [first, first + count) of a matrix.
inline TensorView rows_of(const TensorView& matrix, int64_t first, int64_t count) {
  TensorView rows = matrix;
  rows.data = static_cast<std::byte*>(matrix.data) +
              narrow<size_t>(first * matrix.row_stride) * dtype_bytes(matrix.dtype);
  rows.shape[0] = count;
  return rows;
}

template <typename T>
constexpr DType kDTypeOf = DType::int32;
template <>
inline constexpr DType kDTypeOf<float> = DType::fp32;

/// A small operand and its host side, in memory allocated once: fill `host` and upload, or run an
/// op into `view` and download. The copies are enqueued: `host` may be touched again, or read,
/// after the stream's next synchronize.
template <typename T>
class DeviceList {
 public:
  DeviceList(StepRunner& runner, int64_t capacity)
      : runner_(&runner),
        capacity_(capacity),
        device_(
            runner.device().allocate(narrow<size_t>(std::max<int64_t>(capacity, 1)) * sizeof(T))) {
    host.reserve(narrow<size_t>(capacity));
  }

  TensorView view(const Shape& shape) const {
    VELOZ_CHECK(shape.num_elements() <= capacity_, "a list of {} elements, {} were reserved",
                shape.num_elements(), capacity_);
    return {device_.data(), kDTypeOf<T>, shape};
  }
  TensorView upload(const Shape& shape) {
    VELOZ_CHECK(std::cmp_equal(shape.num_elements(), host.size()), "{} elements for shape {}",
                host.size(), to_string(shape));
    const TensorView operand = view(shape);
    runner_->device().copy_in(runner_->stream(), operand.data, host.data(), operand.num_bytes());
    return operand;
  }
  TensorView upload() { return upload({narrow<int64_t>(host.size())}); }
  void download(const Shape& shape) {
    const TensorView operand = view(shape);
    host.resize(narrow<size_t>(shape.num_elements()));
    runner_->device().copy_out(runner_->stream(), host.data(), operand.data, operand.num_bytes());
  }
  int64_t capacity() const { return capacity_; }

  std::vector<T> host;

 private:
  StepRunner* runner_;
  int64_t capacity_;
  Buffer device_;
};

}  // namespace veloz::runtime
