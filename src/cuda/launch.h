// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

#include "cuda/gpu.h"
#include "cuda/stream.h"
#include "ops/kernel.h"

namespace veloz::cuda {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;  // dynamic
  int cluster_blocks = 1;   // neighbours along x that run at once (ptx/cluster.h)
};

inline CudaStream& stream_of(ops::OpContext& context) {
  return static_cast<CudaStream&>(*context.stream);
}

/// Enqueues a kernel. It may begin while the one before it ends (programmatic dependent launch):
/// every kernel calls wait_for_previous_kernel() (ptx/dependent_launch.h) before it touches device
/// memory. A failure is noted in the stream under `name`.
template <typename... Params, typename... Args>
void launch(CudaStream& stream, const char* name, void (*kernel)(Params...),
            const LaunchShape& shape, Args&&... args) noexcept {
#if defined(VELOZ_CUDA_SIM)
  stream.note(sim::launch({.name = name,
                           .stream = stream.handle(),
                           .must_wait_for_previous = true,
                           .cluster_blocks = shape.cluster_blocks},
                          kernel, shape.grid, shape.block, shape.shared_bytes,
                          Params(std::forward<Args>(args))...),
              name);
#else
  constexpr size_t kDefaultShared = 48 * 1024;  // more must be asked for
  if (shape.shared_bytes > kDefaultShared)
    stream.note(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                     cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(shape.shared_bytes)),
                name);
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = static_cast<unsigned>(shape.cluster_blocks);
  attributes[1].val.clusterDim.y = 1;
  attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream.handle();
  config.attrs = attributes;
  config.numAttrs = shape.cluster_blocks == 1 ? 1 : 2;
  stream.note(cudaLaunchKernelEx(&config, kernel, Params(std::forward<Args>(args))...), name);
#endif
}

}  // namespace veloz::cuda
