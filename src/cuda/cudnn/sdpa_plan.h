// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "cuda/cudnn/descriptor.h"
#include "cuda/cudnn/sdpa_graph.h"
#include "cuda/cudnn/sdpa_shape.h"

namespace veloz::cuda {

/// Where plans will run: a handle of a device that is there, or a device's description, in cuDNN's
/// JSON, for which plans can be made anywhere.
struct SdpaTarget {
  cudnnHandle_t handle = nullptr;
  const CudnnDescriptor* properties = nullptr;
};

/// Addresses of a step's tensors.
struct SdpaPointers {
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  void* y = nullptr;
  const void* q_offsets = nullptr;
  const void* y_offsets = nullptr;
  const void* q_lens = nullptr;
  const void* kv_lens = nullptr;
  const void* tables = nullptr;
  float scale = 1;
  void* workspace = nullptr;
};

/// What plans of SdpaShape::kernel have in common: cuDNN would take a kernel of another one for
/// theirs.
using SdpaKernels = std::optional<CudnnDescriptor>;

/// cuDNN's attention of one shape: milliseconds, but half a second where its kernel is not compiled
/// yet.
class SdpaPlan {
 public:
  /// Throws Error(unsupported) with cuDNN's reason where it has no kernel. `kernels` are empty, or
  /// of a plan before.
  SdpaPlan(const CudnnApi& api, const SdpaTarget& target, const SdpaShape& shape,
           SdpaKernels& kernels);

  /// Enqueues it on the handle's stream.
  void run(const CudnnApi& api, cudnnHandle_t handle, const SdpaPointers& pointers) const;
  size_t workspace_bytes() const { return workspace_bytes_; }

 private:
  SdpaGraph graph_;
  std::optional<CudnnDescriptor> plan_;
  size_t workspace_bytes_ = 0;
};

}  // namespace veloz::cuda
