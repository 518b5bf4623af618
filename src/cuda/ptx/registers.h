// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/gpu.h"

/// Registers move from warpgroups that need few to those that need many (setmaxnreg). All warps of
/// the warpgroup call together; the count is a multiple of 8 from 24 to 256.
namespace veloz::cuda {

/// Gives up what the thread has above `count`.
template <int count>
__device__ inline void lower_registers_to() {
#if VELOZ_DEVICE_CODE
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
#endif
}

/// Waits until there are as many for this warpgroup.
template <int count>
__device__ inline void raise_registers_to() {
#if VELOZ_DEVICE_CODE
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
#endif
}

}  // namespace veloz::cuda
