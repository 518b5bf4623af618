// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "base/device.h"
#include "cuda/cublaslt/library_gemms.h"
#include "cuda/gpu.h"

namespace veloz::cuda {

/// Throws Error(internal) "what: CUDA's words" where `error` is one.
void check(cudaError_t error, const char* what);

/// A CUDA stream. Kernels are enqueued without looking at each launch's outcome: the first that
/// failed is kept and thrown to whoever waits for it.
class CudaStream final : public Stream {
 public:
  explicit CudaStream(int device);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  void synchronize() override;
  void mark() override;
  void wait_for_mark() override;
  bool begin_recording() override;
  std::unique_ptr<Recording> end_recording() override;
  void replay(Recording& recording) override;
  cudaStream_t handle() const { return handle_; }
  int device() const { return device_; }
  int num_multiprocessors() const { return num_multiprocessors_; }
  /// Makes the stream's device this thread's: CUDA keeps a choice per thread. Whoever begins to use
  /// a stream copies or waits first, which does it.
  void choose_device() noexcept { note(cudaSetDevice(device_), "choosing the device"); }
  /// Products by a library, for the kernels that ask it; null where there is none.
  LibraryGemms* library() const { return library_.get(); }
  void set_library(std::shared_ptr<LibraryGemms> library) { library_ = std::move(library); }
  /// Of a launch of kernel `what`.
  void note(cudaError_t error, const char* what) noexcept {
    if (error != cudaSuccess && failure_.error == cudaSuccess) failure_ = {error, what};
  }

 private:
  struct Failure {
    cudaError_t error = cudaSuccess;
    const char* what = "";
  };
  static void throw_once(Failure& failure);

  int device_;
  int num_multiprocessors_ = 0;
  cudaStream_t handle_ = nullptr;
  cudaEvent_t mark_ = nullptr;
  Failure failure_;         // the first since the mark
  Failure marked_failure_;  // the first ahead of it
  std::shared_ptr<LibraryGemms> library_;
};

}  // namespace veloz::cuda
