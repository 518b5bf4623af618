// SPDX-License-Identifier: Apache-2.0
#include "cuda/device_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cuda/stream.h"

namespace veloz::cuda {

DeviceMemory::DeviceMemory(size_t bytes) : bytes_(bytes) {
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, std::max<size_t>(bytes, 1));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Error(ErrorKind::out_of_memory,
                fmt::format("{} bytes of GPU memory were asked for by a library", bytes),
                "lower --gpu-memory-utilization, or free the GPU");
  }
  check(error, "allocating memory");
  data_.reset(data);
}

bool DeviceMemory::grow(size_t bytes) {
  if (data_ != nullptr && bytes_ >= bytes) return false;
  *this = DeviceMemory();  // freed before the larger one is taken
  *this = DeviceMemory(bytes);
  return true;
}

void DeviceMemory::Free::operator()(void* data) const { cudaFree(data); }

}  // namespace veloz::cuda
