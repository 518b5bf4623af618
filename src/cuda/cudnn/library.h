// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "cuda/cudnn/api.h"
#include "cuda/cudnn/attach.h"
#include "cuda/cudnn/library_attention.h"
#include "cuda/cudnn/sdpa_plan.h"
#include "cuda/device_memory.h"
#include "cuda/stream.h"

namespace veloz::cuda {

/// cuDNN on one stream: its handle, its scratch memory and its plans, made as shapes come and kept.
/// Used from the stream's thread.
class CudnnAttention final : public LibraryAttention {
 public:
  /// `stream` must outlive it. Throws Error where the library is missing, too old or does not
  /// start.
  CudnnAttention(CudaStream& stream, const CudnnOptions& options);
  ~CudnnAttention() override;

  std::string prepare(const SdpaShape& shape) override;
  bool has_plan(const SdpaShape& shape) noexcept override;
  bool run(const ops::PagedAttentionArgs& args, const SdpaShape& shape,
           const int32_t* chunks) noexcept override;

  std::string version() const { return api_.version(); }

 private:
  /// Null where there is none; `why` then.
  struct Entry {
    std::unique_ptr<SdpaPlan> plan;
    std::string why;
  };
  Entry& entry_for(const SdpaShape& shape);

  CudnnApi api_;
  cudnnHandle_t handle_ = nullptr;
  DeviceMemory workspace_;
  std::map<SdpaShape, SdpaKernels> kernels_;  // by SdpaShape::kernel
  std::map<SdpaShape, Entry> plans_;
  bool is_broken_ = false;  // a plan did not run: none is tried again
};

}  // namespace veloz::cuda
