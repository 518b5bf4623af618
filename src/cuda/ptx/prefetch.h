// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/gpu.h"

namespace veloz::cuda {

/// Asks for a line of device memory in the second-level cache; nothing waits for it. What no kernel
/// of the step writes (weights, tables) may be asked for before wait_for_previous_kernel().
__device__ inline void prefetch_to_l2(const void* address) {
#if VELOZ_DEVICE_CODE
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
#else
  static_cast<void>(address);
#endif
}

}  // namespace veloz::cuda
