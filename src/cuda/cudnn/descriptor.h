// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "cuda/cudnn/api.h"

namespace veloz::cuda {

/// One object of cuDNN's graph API: attributes are set, then it is finalized. `api` outlives it.
class CudnnDescriptor {
 public:
  CudnnDescriptor(const CudnnApi& api, cudnnBackendDescriptorType_t type);
  ~CudnnDescriptor();
  CudnnDescriptor(CudnnDescriptor&& other) noexcept;
  CudnnDescriptor& operator=(CudnnDescriptor&&) = delete;

  /// All of them throw what CudnnApi::check does, and return the descriptor.
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       int64_t count, const void* values);
  template <typename T>
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       const T& value) {
    return set(name, type, 1, &value);
  }
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, std::span<const int64_t> values) {
    return set(name, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()), values.data());
  }
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const CudnnDescriptor& other) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, other.handle_);
  }
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, std::span<const CudnnDescriptor> others);
  CudnnDescriptor& finalize(const char* what);

  int64_t get_int64(cudnnBackendAttributeName_t name) const;
  cudnnBackendDescriptor_t handle() const { return handle_; }

 private:
  const CudnnApi* api_;
  cudnnBackendDescriptor_t handle_ = nullptr;
};

}  // namespace veloz::cuda
