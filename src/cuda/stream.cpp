// SPDX-License-Identifier: Apache-2.0
#include "cuda/stream.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::cuda {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw Error(ErrorKind::internal, fmt::format("{}: {}", what, cudaGetErrorString(error)),
              "the device may be lost; start the process again");
}

CudaStream::CudaStream(int device) : device_(device) {
  check(cudaSetDevice(device), "choosing the device");
  check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "creating a stream");
}

CudaStream::~CudaStream() {
  library_.reset();  // it works on the stream
  if (handle_ != nullptr) cudaStreamDestroy(handle_);
}

void CudaStream::synchronize() {
  const cudaError_t failure = failure_;
  failure_ = cudaSuccess;
  check(failure, failed_);
  check(cudaStreamSynchronize(handle_), "waiting for the device");
}

}  // namespace veloz::cuda
