// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
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

/// The host side of a DeviceList. Its memory is the device's to copy from and to (pinned, where
/// that means something): from other memory a copy would wait for the stream.
template <typename T>
using HostList = std::pmr::vector<T>;

/// A small operand and its host side, in memory allocated once: fill `host` and upload, or run an
/// op into `view` and download. The copies are enqueued: `host` may be touched again, or read,
/// once the stream was waited for.
template <typename T>
class DeviceList {
  static size_t bytes_of(int64_t capacity) {
    return narrow<size_t>(std::max<int64_t>(capacity, 1)) * sizeof(T);
  }

  // Before `host`, which lies in host_.
  StepRunner* runner_;
  int64_t capacity_;
  Buffer device_;
  Buffer host_;
  std::pmr::monotonic_buffer_resource host_memory_;

 public:
  DeviceList(StepRunner& runner, int64_t capacity)
      : runner_(&runner),
        capacity_(capacity),
        device_(runner.device().allocate(bytes_of(capacity))),
        host_(runner.device().allocate_host(bytes_of(capacity))),
        host_memory_(host_.data(), host_.bytes(), std::pmr::null_memory_resource()),
        host(&host_memory_) {
    host.reserve(narrow<size_t>(capacity));  // all there is, in one piece
  }
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;

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

  HostList<T> host;  // never more than the capacity
};

}  // namespace veloz::runtime
