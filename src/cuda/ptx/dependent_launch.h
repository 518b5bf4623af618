// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/gpu.h"

/// Programmatic dependent launch: a kernel's blocks may start while the kernel before it still
/// runs.
namespace veloz::cuda {

/// Waits until the kernel before this one has ended and its writes are visible. Every kernel calls
/// it before it reads or writes device memory (weights and tables may be read earlier).
__device__ inline void wait_for_previous_kernel() {
#if VELOZ_DEVICE_CODE
  asm volatile("griddepcontrol.wait;" ::: "memory");
#elif defined(VELOZ_CUDA_SIM)
  sim::note_waited_for_previous();
#endif
}

/// Lets the next kernel's blocks start where there is room for them. Kernels between two products
/// call it after wait_for_previous_kernel(): before it, the next product's weights would come still
/// earlier, but its blocks would crowd onto the multiprocessors that are free first. On an H200 a
/// token of Llama-2-70B then took 8 % longer, and with one block on each no less than now.
__device__ inline void allow_next_kernel() {
#if VELOZ_DEVICE_CODE
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace veloz::cuda
