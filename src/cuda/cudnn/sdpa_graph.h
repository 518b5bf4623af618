// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "cuda/cudnn/descriptor.h"
#include "cuda/cudnn/sdpa_shape.h"

namespace veloz::cuda {

/// Tensors of a step, by the names that a plan's execution binds to pointers.
enum class SdpaTensor : int64_t {
  q = 1,      // bf16 [entries, heads, chunk, head_dim], an entry at its offset
  k,          // bf16 [blocks, kv heads, block_size, head_dim]
  v,          // the same
  y,          // as q
  q_offsets,  // int32 [entries + 1]
  y_offsets,
  q_lens,   // int32 [entries]
  kv_lens,  // int32 [entries]
  tables,   // int32 [entries, columns]
  scale,    // fp32, a value of the host
  hidden,   // fp32, a value of the host: the score of what is not seen
};
inline constexpr int64_t kNumSdpaTensors = 11;

/// Attention as cuDNN's graph API states it: operation by operation, in the order and form that its
/// fused kernels recognize. Row i of an entry sees the positions up to kv_len - q_len + i.
class SdpaGraph {
 public:
  /// With the handle of the device that is there, or null. Throws what CudnnApi::check does.
  SdpaGraph(const CudnnApi& api, const SdpaShape& shape, cudnnHandle_t handle);
  const CudnnDescriptor& operations() const { return graph_; }

 private:
  std::vector<CudnnDescriptor> parts_;  // tensors and operations
  CudnnDescriptor graph_;
};

}  // namespace veloz::cuda
