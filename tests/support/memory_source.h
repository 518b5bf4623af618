// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "checkpoint/tensor_source.h"
#include "support/tensors.h"

namespace veloz::test {

/// Tensors that a test makes.
class MemorySource final : public checkpoint::TensorSource {
 public:
  void add(const std::string& name, OwnedTensor tensor) {
    tensors_.insert_or_assign(name, std::move(tensor));
  }
  void remove(const std::string& name) { tensors_.erase(name); }
  std::optional<checkpoint::TensorInfo> find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return std::nullopt;
    return checkpoint::TensorInfo{found->second.view().dtype, found->second.view().shape};
  }
  void read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                 std::span<std::byte> to) const override {
    const TensorView& view = tensors_.find(name)->second.view();
    const size_t row_bytes = static_cast<size_t>(TensorView::contiguous_row_stride(view.shape)) *
                             dtype_bytes(view.dtype);
    VELOZ_CHECK(to.size() == static_cast<size_t>(row_end - row_begin) * row_bytes,
                "{} bytes for rows {} to {}", to.size(), row_begin, row_end);
    std::memcpy(to.data(), view.as<const std::byte>() + static_cast<size_t>(row_begin) * row_bytes,
                to.size());
  }

 private:
  std::map<std::string, OwnedTensor, std::less<>> tensors_;
};

/// Rows of a tensor as a source gives them.
inline OwnedTensor read_tensor(const checkpoint::TensorSource& source, std::string_view name,
                               int64_t row_begin, int64_t row_end) {
  const checkpoint::TensorInfo info = *source.find(name);
  Shape shape = info.shape;
  shape[0] = row_end - row_begin;
  OwnedTensor tensor(info.dtype, shape);
  source.read_rows(name, row_begin, row_end,
                   {tensor.view().as<std::byte>(), tensor.view().num_bytes()});
  return tensor;
}

inline OwnedTensor read_tensor(const checkpoint::TensorSource& source, std::string_view name) {
  return read_tensor(source, name, 0, source.find(name)->shape[0]);
}

}  // namespace veloz::test
