// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/descriptor.h"

#include <utility>

namespace veloz::cuda {

CudnnDescriptor::CudnnDescriptor(const CudnnApi& api, cudnnBackendDescriptorType_t type)
    : api_(&api) {
  api.check(api.create_descriptor(type, &handle_), "creating a descriptor");
}

CudnnDescriptor::~CudnnDescriptor() {
  if (handle_ != nullptr) api_->destroy_descriptor(handle_);
}

CudnnDescriptor::CudnnDescriptor(CudnnDescriptor&& other) noexcept
    : api_(other.api_), handle_(std::exchange(other.handle_, nullptr)) {}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      cudnnBackendAttributeType_t type, int64_t count,
                                      const void* values) {
  api_->check(api_->set_attribute(handle_, name, type, count, values), "setting an attribute");
  return *this;
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      std::span<const CudnnDescriptor> others) {
  std::vector<cudnnBackendDescriptor_t> handles;
  handles.reserve(others.size());
  for (const CudnnDescriptor& other : others) handles.push_back(other.handle_);
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(handles.size()),
             handles.data());
}

CudnnDescriptor& CudnnDescriptor::finalize(const char* what) {
  api_->check(api_->finalize(handle_), what);
  return *this;
}

int64_t CudnnDescriptor::get_int64(cudnnBackendAttributeName_t name) const {
  int64_t value = 0;
  int64_t count = 0;
  api_->check(api_->get_attribute(handle_, name, CUDNN_TYPE_INT64, 1, &count, &value),
              "asking for an attribute");
  return value;
}

}  // namespace veloz::cuda
